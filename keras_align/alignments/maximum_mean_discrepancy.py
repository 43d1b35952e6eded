"""Matching by the measure of alignment itself, the maximum mean discrepancy."""

import math
from typing import Any

from keras_align import divergences
from keras_align.alignments.alignment import register_alignment
from keras_align.alignments.built_in import BuiltInAlignment
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks


@register_alignment("mmd")
class MaximumMeanDiscrepancyAlignment(BuiltInAlignment):
    """Maximum mean discrepancy alignment: no network, nothing adversarial.

    Formula: `divergences.maximum_mean_discrepancy`, biased. Under a kernel much
    narrower than the distances of the vectors nothing attracts anything; the default
    bandwidth grows with the head size as those distances do.

    Args:
        bandwidth: float > 0, the kernel's standard deviation, or `None`, the default,
            for the square root of the head size.
        max_tokens: int > 1, or `None` for all tokens, see `Alignment`. Defaults to
            `64`; `None` for a config of a preview of 0.1.0, which had no such argument.
        projections_only: bool or `None`, whether the loss trains the projections of
            queries and keys alone, see `Alignment`. Defaults to `None`, which is
            `False`.

    Call arguments and returns: see `Alignment`.

    Example:

    >>> alignment = MaximumMeanDiscrepancyAlignment(bandwidth=2.0)
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    """

    default_weight = 0.01

    def __init__(self, bandwidth: float | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if bandwidth is not None:
            checks.positive("bandwidth", bandwidth)
        self.bandwidth = bandwidth

    def call(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        bandwidth = self.bandwidth or math.sqrt(query.shape[-1])
        return divergences.maximum_mean_discrepancy(
            query, key, query_mask, key_mask, bandwidth=bandwidth
        )

    def get_config(self) -> dict:
        return {**super().get_config(), "bandwidth": self.bandwidth}
