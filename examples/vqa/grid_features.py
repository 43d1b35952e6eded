"""Features of all images of a data set, computed once and kept in a file."""

import os
import pathlib

import fetching
import image_network
import keras
import numpy as np

WEIGHTS = "efficientnet-lite0-57934424.pth"
BATCH = 32  # images


def of_images(data, folder=None, network=None):
    """Returns features of a grid for every image, float16 `(images, regions, 1280)`.

    They are kept in `<name>_efficientnet_lite0.npy`, which is written once complete.

    Args:
        data: `question_data.QuestionData` of images.
        folder: Folder of the file, by default `features` in the cache of downloads.
        network: `keras.Model` in the place of the one that is fetched.
    """
    folder = pathlib.Path(folder or fetching.cache_folder() / "features")
    file = folder / f"{data.name}_efficientnet_lite0.npy"
    if file.exists():
        features = np.load(file)
        if len(features) == data.num_images:
            return features
    if network is None:
        weights = fetching.fetch(fetching.EFFICIENTNET_LITE0) / WEIGHTS
        network = image_network.load(weights)
    features = compute(data, network)
    folder.mkdir(parents=True, exist_ok=True)
    incomplete = file.with_suffix(".incomplete")
    with incomplete.open("wb") as stream:
        np.save(stream, features)
    os.replace(incomplete, file)
    return features


def compute(data, network):
    """Returns the features, with a progress bar."""
    print(f"Features of {data.num_images:,} images of {data.name}, computed once")
    progress = keras.utils.Progbar(data.num_images)
    size = network.input_shape[1:3]
    features = []
    for start in range(0, data.num_images, BATCH):
        numbers = np.arange(start, min(start + BATCH, data.num_images))
        images = keras.ops.image.resize(
            data.load_images(numbers).astype("float32"),
            size,
            interpolation="bicubic",
            antialias=True,
            data_format="channels_last",
        )
        grid = network.predict_on_batch(keras.ops.clip(images, 0.0, 255.0))
        features.append(grid.reshape(len(grid), -1, grid.shape[-1]).astype("float16"))
        progress.update(int(numbers[-1]) + 1)
    return np.concatenate(features)
