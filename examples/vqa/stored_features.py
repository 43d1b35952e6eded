"""Features of regions that are too many for memory, read when a batch needs them."""

import functools

import numpy as np

MEASURED = 500  # images whose features tell the deviation


class StoredFeatures:
    """Looks like an array `(images, regions, D)` that is indexed by numbers of images.

    Args:
        load: Function from an integer array `(k,)` to features `(k, regions, D)`; zeros
            are padding.
        num_images: Integer.
        noise: Float array `(D,)`, deviations of normal noise that is added to regions
            which are no padding, or `None`.
        seed: Integer, of the noise, which is the same whenever an image is read.
    """

    ndim = 3

    def __init__(self, load, num_images, noise=None, seed=0):
        self.load, self.noise, self.seed = load, noise, seed
        self.shape = (num_images, *load(np.arange(1)).shape[1:])

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, numbers):
        numbers, places = np.unique(numbers, return_inverse=True)
        features = self.load(numbers)
        if self.noise is not None:
            features = self._with_noise(numbers, features.astype("float32"))
        return features[places]

    def _with_noise(self, numbers, features):
        for number, of_image in zip(numbers, features, strict=True):
            regions = of_image.any(axis=-1)
            rng = np.random.default_rng((self.seed, int(number)))
            noise = rng.standard_normal(of_image.shape, "float32")
            of_image[regions] += (self.noise * noise)[regions]
        return features

    def noisy(self, seed, scale):
        """Returns the same with noise, in units of each feature's deviation."""
        return StoredFeatures(self.load, len(self), scale * self._some.std(0), seed)

    def without_images(self):
        """Returns the same with the mean of regions in the place of every region."""
        mean = np.broadcast_to(self._some.mean(axis=0), self.shape[1:])
        return StoredFeatures(
            lambda numbers: np.stack([mean] * len(numbers)), len(self)
        )

    @functools.cached_property
    def _some(self):
        """The regions `(n, D)` of images that are spread over all, padding left out."""
        count = min(MEASURED, len(self))
        numbers = np.linspace(0, len(self) - 1, count).astype(int)
        features = self.load(numbers).astype("float32")
        return features[features.any(axis=-1)]
