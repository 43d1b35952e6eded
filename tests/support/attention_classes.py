"""Attention of users: a class with the usual names, an adapter that finds nothing."""

import contextlib

import keras
from keras import ops

from keras_align.adapters import AttentionAdapter, register_attention

WIDTH, HEADS, SIZE = 16, 4, 4


@register_attention
@keras.saving.register_keras_serializable(package="attention_classes")
class Usual(keras.layers.Layer):
    """Attention of a user with the usual names and a flat projection."""

    def __init__(self, num_heads=HEADS, head_dim=SIZE, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.query = keras.layers.Dense(num_heads * head_dim)
        self.key = keras.layers.Dense(num_heads * head_dim)

    def build(self, shape):
        self.query.build(shape)
        self.key.build(shape)

    def call(self, x, attention_mask=None):
        scores = ops.matmul(self.query(x), ops.swapaxes(self.key(x), -2, -1))
        if attention_mask is not None:
            scores = ops.where(attention_mask, scores, -1e9)
        return ops.matmul(ops.softmax(scores), x)

    def compute_output_shape(self, shape, *args):
        return shape

    def get_config(self):
        sizes = {"num_heads": self.num_heads, "head_dim": self.head_dim}
        return {**super().get_config(), **sizes}


class Idle(AttentionAdapter):
    """Captures nothing."""

    def capture(self, layer):
        return contextlib.nullcontext([])
