"""Batches of samples of like lengths, cut behind the longest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import tree

from keras_align.validation import checks

_WINDOW = 50  # batches, within which samples are sorted by their lengths
NOWHERE = 2**31 - 1  # where inputs are cut that keep their padding


def end_of(longest: int, buckets: Sequence[int]) -> int:
    """Where inputs are cut whose longest sample has a length."""
    return next((each for each in buckets if each >= longest), NOWHERE)


def all_buckets(buckets: Sequence[int] | None, lengths: Any) -> Sequence[int]:
    """The lengths to which inputs are cut, sorted."""
    if buckets is None:
        return [] if lengths is None else range(8, int(lengths.max()) + 8, 8)
    for each in buckets:
        checks.positive_integer("buckets", each)
    return sorted(buckets)


def cut(batch: Any, end: Any) -> tuple:
    """A batch whose inputs of two dimensions or more end at `end`."""

    def cut_one(array):
        return array if len(array.shape) < 2 else array[:, :end]

    inputs, *targets = batch
    return (tree.map_structure(cut_one, inputs), *targets)


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
    batches = np.concatenate(by_length).reshape(-1, batch_size)
    return np.concatenate([*rng.permutation(batches), order[whole:]])
