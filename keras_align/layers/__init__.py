"""The aligned attention layers."""

from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.aligned_graph_attention import AlignedGraphAttention
from keras_align.layers.aligned_grouped_query_attention import (
    AlignedGroupedQueryAttention,
)
from keras_align.layers.aligned_multi_head_attention import AlignedMultiHeadAttention
from keras_align.layers.graph_attention import GraphAttention

__all__ = [
    "AlignedAttention",
    "AlignedGraphAttention",
    "AlignedGroupedQueryAttention",
    "AlignedMultiHeadAttention",
    "GraphAttention",
]
