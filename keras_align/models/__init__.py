"""Models for attention that no other library has in Keras 3."""

from keras_align.models.graph_attention_network import GraphAttentionNetwork

__all__ = ["GraphAttentionNetwork"]
