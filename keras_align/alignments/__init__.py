"""What is trained: one Keras layer per way to match queries and keys."""

from keras_align.alignments.adversarial import AdversarialAlignment
from keras_align.alignments.adversary import Adversary, reverse_gradient
from keras_align.alignments.alignment import (
    Alignment,
    get_alignment,
    register_alignment,
    serialize_alignment,
)
from keras_align.alignments.conditional_transport import ConditionalTransportAlignment
from keras_align.alignments.maximum_mean_discrepancy import (
    MaximumMeanDiscrepancyAlignment,
)
from keras_align.alignments.optimal_transport import OptimalTransportAlignment

__all__ = [
    "AdversarialAlignment",
    "Adversary",
    "Alignment",
    "ConditionalTransportAlignment",
    "MaximumMeanDiscrepancyAlignment",
    "OptimalTransportAlignment",
    "get_alignment",
    "register_alignment",
    "reverse_gradient",
    "serialize_alignment",
]
