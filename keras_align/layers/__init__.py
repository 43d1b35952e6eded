"""The aligned attention layers."""

from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.aligned_grouped_query_attention import (
    AlignedGroupedQueryAttention,
)
from keras_align.layers.aligned_multi_head_attention import AlignedMultiHeadAttention

__all__ = [
    "AlignedAttention",
    "AlignedGroupedQueryAttention",
    "AlignedMultiHeadAttention",
]
