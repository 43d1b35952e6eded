"""A small convolutional network for the patches of an image."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_align.validation import checks


def patch_encoder(
    image_shape: tuple[int, int, int],
    filters: Sequence[int] = (32, 64, 128),
    dtype: Any = None,
) -> keras.Model:
    """Returns an untrained encoder of image patches, to be trained along.

    Every convolution of 3 x 3, with ReLU, halves height and width: by default features
    are of patches of 8 x 8 pixels, which see 15 x 15.

    Args:
        image_shape: height, width and channels.
        filters: ints, of the convolutions. Defaults to `(32, 64, 128)`.
        dtype: dtype or policy of the layers. Defaults to Keras's own.

    Returns:
        Functional `keras.Model` from images `(B, height, width, channels)` to features
        `(B, rows, columns, filters[-1])`.

    Raises:
        ValueError: if an argument is wrong.

    Example:

    >>> keras_align.models.patch_encoder((64, 64, 3)).output_shape
    (None, 8, 8, 128)
    """
    if len(image_shape) != 3:
        raise ValueError(
            "Argument `image_shape` must be height, width and channels. Received: "
            f"image_shape={image_shape}"
        )
    if not filters:
        raise ValueError("Argument `filters` must not be empty. Received: filters=()")
    for name, sizes in {"image_shape": image_shape, "filters": filters}.items():
        for size in sizes:
            checks.positive_integer(name, size)
    image = x = keras.Input(image_shape, name="image")
    for number, size in enumerate(filters, start=1):
        x = keras.layers.Conv2D(
            *(size, 3),
            strides=2,
            padding="same",
            activation="relu",
            data_format="channels_last",
            dtype=dtype,
            name=f"convolution_{number}",
        )(x)
    return keras.Model(image, x, name="patch_encoder")
