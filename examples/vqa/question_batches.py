"""Batches of questions, each with the pixels or features of its image."""

import numpy as np
from stored_features import StoredFeatures

from keras_align.training import ShuffledBatches


class QuestionBatches(ShuffledBatches):
    """Batches in which images are looked up by their numbers.

    Args:
        images: Array with all images, `(images, ...)`.
        ids: Integer array of words `(n, T)`.
        numbers: Integer array `(n,)`, the image of every question.
        targets: Array `(n,)`, or `None`.
        batch_size: Integer.
        masked: Bool, whether there is an `"image_mask"`, of regions that are not zeros.
        **options: Of `keras_align.training.ShuffledBatches`.
    """

    def __init__(
        self, images, ids, numbers, targets, batch_size, masked=False, **options
    ):
        inputs = {"question": ids, "image": numbers}
        super().__init__(inputs, targets, batch_size, **options)
        self.images, self.masked = images, masked

    def __getitem__(self, index):
        inputs, *targets = super().__getitem__(index)
        return with_images(inputs, self.images, self.masked), *targets


def with_images(inputs, images, masked):
    """Returns inputs with images in the place of their numbers, and their mask."""
    inputs = inputs | {"image": images[inputs["image"]]}
    if masked:
        inputs["image_mask"] = inputs["image"].any(axis=-1)
    return inputs


def noisy(images, seed, scale=1.0):
    """Returns features with normal noise, in units of each feature's deviation.

    The deviation is over all images and regions: features of an image network have
    other sizes than those that the paper adds N(0, 1) to.
    """
    if isinstance(images, StoredFeatures):
        return images.noisy(seed, scale)
    values = images.astype("float32")
    axes = tuple(range(values.ndim - 1))
    deviation = values.std(axis=axes)
    noise = np.random.default_rng(seed).standard_normal(values.shape, "float32")
    return values + scale * deviation * noise
