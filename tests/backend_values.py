"""Computes losses and gradients of every alignment on the backend of this process.

Usage: KERAS_BACKEND=... python backend_values.py FILE.npz
"""

import sys

import numpy as np
from execution import value_and_gradients
from keras import ops

import keras_align

RNG = np.random.default_rng(0)
QUERY = RNG.normal(size=(2, 5, 3, 4)).astype("float32")
KEY = RNG.normal(size=(2, 7, 3, 4)).astype("float32") + 0.5
MASK = np.arange(7) < np.array([[7], [4]])
NAMES = ("ct", "gan", "ot", "mmd")


def set_weights(layer):
    """The same weights on every backend."""
    for index, weight in enumerate(layer.weights):
        draw = np.random.default_rng(index)
        weight.assign(draw.normal(0.0, 0.5, weight.shape))


def logged_share(name, x):
    """The logged loss as a share of the added one, in mixed precision; should be 1."""
    layer = keras_align.AlignedMultiHeadAttention(
        3, 4, alignment=name, alignment_weight=1.0, dtype="mixed_bfloat16"
    )
    layer(x, x, training=True)
    return ops.convert_to_numpy(layer.alignment_loss / layer.losses[0])


def main(file):
    values = {}
    for name in NAMES:
        layer = keras_align.AlignedMultiHeadAttention(3, 4, alignment=name)
        alignment = layer.alignment
        alignment.build(QUERY.shape, KEY.shape)
        set_weights(alignment)

        def call(x, alignment=alignment):
            return alignment(x, KEY, key_mask=MASK)

        value, (gradient,) = value_and_gradients(call, QUERY)
        values[f"{name} value"], values[f"{name} gradient"] = value, gradient
        x = QUERY[:, :, 0]
        layer.build(x.shape, x.shape)
        set_weights(layer)
        layer(x, x, training=True)
        values[f"{name} loss"] = ops.convert_to_numpy(layer.losses[0])
        values[f"{name} logged"] = logged_share(name, x)
    np.savez(file, **values)


if __name__ == "__main__":
    main(sys.argv[1])
