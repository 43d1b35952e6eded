"""The paper's divergences between queries and keys, as pure functions of tensors.

Axes: B batch, T queries, S keys, N heads, H head size, D feature. Masks are boolean,
True for a real token. Every function computes in float32 and returns one number for
each sample and head, float32 `(B, N)`, which is 0 where a sample has no real query or
no real key.

Source: "Alignment Attention by Matching Key and Query Distributions", Zhang et al.,
NeurIPS 2021 (arXiv 2110.12567).
"""

from keras_align.divergences.adversarial import adversarial, confusion
from keras_align.divergences.conditional_transport import conditional_transport
from keras_align.divergences.maximum_mean_discrepancy import maximum_mean_discrepancy
from keras_align.divergences.optimal_transport import COSTS, optimal_transport
from keras_align.divergences.sinkhorn import Convergence

__all__ = [
    "COSTS",
    "Convergence",
    "adversarial",
    "conditional_transport",
    "confusion",
    "maximum_mean_discrepancy",
    "optimal_transport",
]
