"""Models for attention that no other library has in Keras 3."""

from keras_align.models.graph_attention_network import GraphAttentionNetwork
from keras_align.models.modular_co_attention_network import ModularCoAttentionNetwork
from keras_align.models.patch_encoder import patch_encoder
from keras_align.models.weighted_reduction import WeightedReduction

__all__ = [
    "GraphAttentionNetwork",
    "ModularCoAttentionNetwork",
    "WeightedReduction",
    "patch_encoder",
]
