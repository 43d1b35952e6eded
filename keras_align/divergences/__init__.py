"""The paper's divergences between queries and keys, as pure functions of tensors."""

from keras_align.divergences.formulas import (
    COSTS,
    adversarial,
    conditional_transport,
    confusion,
    maximum_mean_discrepancy,
    optimal_transport,
)

__all__ = [
    "COSTS",
    "adversarial",
    "conditional_transport",
    "confusion",
    "maximum_mean_discrepancy",
    "optimal_transport",
]
