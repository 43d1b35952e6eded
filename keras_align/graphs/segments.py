"""Sums and softmaxes over the edges that end at the same node.

Time and memory are linear in the number of edges.
"""

from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor

_LOWEST = -3.0e38


def wide_dtype(dtype: Any) -> str:
    """In which sums of a float dtype are: float32, or float64 for float64."""
    is_widest = keras.backend.standardize_dtype(dtype) == "float64"
    return "float64" if is_widest else "float32"


def segment_sum(x: Tensor, segments: Tensor, num_segments: int | Tensor) -> Tensor:
    """Sums the rows of each segment.

    Args:
        x: float tensor `(m, ...)`.
        segments: integer tensor `(m,)`, the segment of each row.
        num_segments: int or scalar tensor, `n`.

    Returns:
        Tensor `(n, ...)` of the dtype of `x`, 0 where a segment has no rows.
    """
    if keras.backend.backend() == "torch":  # Keras's takes vectors of float32 alone
        zeros = ops.zeros((num_segments, *x.shape[1:]), dtype=x.dtype)
        return zeros.index_add(0, segments, x)
    return ops.segment_sum(x, segments, num_segments)


def segment_max(x: Tensor, segments: Tensor, num_segments: int | Tensor) -> Tensor:
    """The largest row of each segment, in every column.

    Args:
        x: float tensor `(m, N)`.
        segments: integer tensor `(m,)`.
        num_segments: int or scalar tensor, `n`.

    Returns:
        Tensor `(n, N)`; some very low number where a segment has no rows.
    """
    if keras.backend.backend() == "torch":
        lowest = ops.full((num_segments, x.shape[1]), _LOWEST, dtype=x.dtype)
        rows = segments.long()[:, None].expand(x.shape)
        return lowest.scatter_reduce(0, rows, x, "amax")
    return ops.segment_max(x, segments, num_segments)


def segment_softmax(
    scores: Tensor, segments: Tensor, num_segments: int | Tensor, mask: Tensor
) -> Tensor:
    """Softmax over the rows of each segment, for every column.

    Exact for scores of any size: the largest of each segment is subtracted first.

    Args:
        scores: float32 or float64 tensor `(m, N)`.
        segments: integer tensor `(m,)`, the segment of each row.
        num_segments: int or scalar tensor, `n`.
        mask: boolean tensor `(m,)`, False for rows that take no part.

    Returns:
        Tensor `(m, N)`; the real rows of a segment sum to 1, the others are 0.
    """
    real = mask[:, None]
    largest = segment_max(
        ops.where(real, ops.stop_gradient(scores), _LOWEST), segments, num_segments
    )
    shifted = scores - ops.take(largest, segments, axis=0)
    weights = ops.where(real, ops.exp(ops.where(real, shifted, 0.0)), 0.0)
    total = segment_sum(weights, segments, num_segments)
    total = ops.where(total > 0.0, total, 1.0)
    return weights / ops.take(total, segments, axis=0)
