"""The table of the attention classes that can be aligned.

A class is matched exactly: a subclass with a `call` of its own may not do what the
alignment relies on, so it needs a line of its own.
"""

import keras

from keras_align.layers import AlignedGroupedQueryAttention, AlignedMultiHeadAttention
from keras_align.layers.aligned_attention import AlignedAttention

ALIGNED_CLASSES = {
    keras.layers.MultiHeadAttention: AlignedMultiHeadAttention,
    keras.layers.GroupQueryAttention: AlignedGroupedQueryAttention,
}
PLAIN_CLASSES = {aligned: plain for plain, aligned in ALIGNED_CLASSES.items()}


def is_supported(layer):
    """Whether the layer can be aligned, or is aligned already."""
    return type(layer) in ALIGNED_CLASSES or isinstance(layer, AlignedAttention)


def is_aligned(layer):
    """Whether the layer trains an alignment."""
    return isinstance(layer, AlignedAttention) and layer.alignment is not None


def is_other_attention(layer):
    """Whether the layer looks like attention that the table does not know."""
    return not is_supported(layer) and "Attention" in type(layer).__name__


def num_heads(layer):
    """Number of query heads of a supported layer."""
    grouped = isinstance(layer, keras.layers.GroupQueryAttention)
    return layer.num_query_heads if grouped else layer.num_heads


def head_size(layer):
    """Size of one query or key head of a supported layer."""
    grouped = isinstance(layer, keras.layers.GroupQueryAttention)
    return layer.head_dim if grouped else layer.key_dim
