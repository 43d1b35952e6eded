"""Keras attention whose keys and queries are trained to follow the same distribution."""

from keras_align import divergences
from keras_align.adversary import Adversary, reverse_gradient
from keras_align.alignments import (
    AdversarialAlignment,
    Alignment,
    ConditionalTransportAlignment,
    MaximumMeanDiscrepancyAlignment,
    OptimalTransportAlignment,
    register_alignment,
)
from keras_align.layers import AlignedGroupedQueryAttention, AlignedMultiHeadAttention

__all__ = [
    "AdversarialAlignment",
    "Adversary",
    "AlignedGroupedQueryAttention",
    "AlignedMultiHeadAttention",
    "Alignment",
    "ConditionalTransportAlignment",
    "MaximumMeanDiscrepancyAlignment",
    "OptimalTransportAlignment",
    "divergences",
    "register_alignment",
    "reverse_gradient",
]
__version__ = "0.1.0"
