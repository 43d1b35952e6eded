"""A small convolutional network for the patches of an image."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_align.validation import checks


def patch_encoder(
    image_shape: tuple[int, int, int],
    filters: Sequence[int] = (32, 64, 64),
    patch_size: int = 4,
    dtype: Any = None,
) -> keras.Model:
    """Returns an untrained encoder of image patches, to be trained along.

    The first convolution reads patches that do not overlap; every other one, of 3 x 3,
    halves height and width. By default features are of patches of 16 x 16 pixels, which
    see 28 x 28. Each is followed by batch normalization and ReLU.

    Args:
        image_shape: height, width and channels.
        filters: ints, of the convolutions. Defaults to `(32, 64, 64)`.
        patch_size: int, kernel and stride of the first convolution. Defaults to `4`.
        dtype: dtype or policy of the layers. Defaults to Keras's own.

    Returns:
        Functional `keras.Model` from images `(B, height, width, channels)` to features
        `(B, rows, columns, filters[-1])`.

    Raises:
        ValueError: if an argument is wrong.

    Example:

    >>> keras_align.models.patch_encoder((64, 64, 3)).output_shape
    (None, 4, 4, 64)
    """
    filters = checks.positive_integers("filters", filters)
    shape = checks.positive_integers("image_shape", image_shape, 3)
    checks.positive_integer("patch_size", patch_size)
    image = x = keras.Input(shape, name="image")
    for number, size in enumerate(filters, start=1):
        kernel, stride = (patch_size, patch_size) if number == 1 else (3, 2)
        x = keras.layers.Conv2D(
            *(size, kernel, stride),
            padding="same",
            use_bias=False,
            data_format="channels_last",
            dtype=dtype,
            name=f"convolution_{number}",
        )(x)
        x = keras.layers.BatchNormalization(
            dtype=dtype, name=f"normalization_{number}"
        )(x)
        x = keras.layers.ReLU(dtype=dtype, name=f"relu_{number}")(x)
    return keras.Model(image, x, name="patch_encoder")
