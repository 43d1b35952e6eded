"""Batches of samples of like lengths, cut behind the longest."""

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import tree

from keras_align.validation import checks

_WINDOW = 50  # batches, within which samples are sorted by their lengths
NOWHERE = 2**31 - 1  # where inputs are cut that keep their padding


def end_of(longest: int, buckets: Sequence[int]) -> int:
    """Where inputs are cut whose longest sample has a length."""
    place = bisect.bisect_left(buckets, longest)
    return buckets[place] if place < len(buckets) else NOWHERE


def all_buckets(buckets: Sequence[int] | None, lengths: Any) -> Sequence[int]:
    """The lengths to which inputs are cut, sorted."""
    if buckets is None:
        longest = 0 if lengths is None else int(lengths.max(initial=0))
        return range(8, longest + 8, 8)
    if lengths is None:
        raise ValueError(
            f"Argument `buckets` needs `lengths`. Received: buckets={buckets}"
        )
    if isinstance(buckets, int):
        raise TypeError(
            f"Argument `buckets` must be a sequence of int. Received: {buckets}"
        )
    buckets = list(buckets)
    for each in buckets:
        checks.positive_integer("buckets", each)
    return sorted(buckets)


def token_axis(inputs: Any) -> int:
    """How many tokens the second axis of ids, masks or embeddings has; 0 for none."""
    arrays = tree.flatten(inputs)
    ids = [x.shape[1] for x in arrays if x.ndim == 2 and x.dtype.kind in "biu"]
    embedded = [x.shape[1] for x in arrays if x.ndim > 2]
    return max(ids or embedded or [0])


def cut(batch: Any, tokens: int, end: Any) -> tuple:
    """A batch whose tokens end at `end`.

    Arrays are cut whose second axis has the size `tokens`: integers, and inputs with
    more axes.
    """

    def of_targets(array):
        kind = np.dtype(getattr(array.dtype, "as_numpy_dtype", array.dtype)).kind
        has_tokens = tuple(array.shape[1:2]) == (tokens,) and kind in "biu"
        return array[:, :end] if has_tokens else array

    def of_inputs(array):
        if len(array.shape) == 2:
            return of_targets(array)
        return array[:, :end] if tuple(array.shape[1:2]) == (tokens,) else array

    inputs, *targets = batch
    cut_targets = (tree.map_structure(of_targets, each) for each in targets)
    return (tree.map_structure(of_inputs, inputs), *cut_targets)


def grouped(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, rng: Any
) -> np.ndarray:
    """An order whose batches have samples of like lengths, in random succession.

    What fills no batch stays at the end: it does not depend on the lengths.
    """
    whole = len(order) // batch_size * batch_size
    if not whole:
        return order
    window = _WINDOW * batch_size
    windows = [order[k : min(k + window, whole)] for k in range(0, whole, window)]
    by_length = [rows[np.argsort(lengths[rows], kind="stable")] for rows in windows]
    batches = rng.permutation(np.concatenate(by_length).reshape(-1, batch_size))
    return np.concatenate([*batches, order[whole:]])
