"""Losses and gradients of every alignment, and a training, on this process's backend.

Usage: KERAS_BACKEND=... python backend_values.py FILE.npz
"""

import sys

import numpy as np
import train_on_backend
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


def compute():
    """Dict from a name to an array."""
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
    logs = train_on_backend.train()
    return values | {f"training {name}": np.array(logs[name]) for name in logs}


if __name__ == "__main__":
    np.savez(sys.argv[1], **compute())
