"""Attention weights of one sample, padding left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_align.validation import checks


@dataclass(frozen=True)
class RecordedSample:
    """What an attention layer computed for the real tokens of one sample.

    Attributes:
        scores: float array `(N, T, S)`, the attention weights.
        query: float array `(N, T, H)`.
        key: float array `(N, S, H)`.
        query_mask: boolean array, of all queries, True for the `T` real ones.
        key_mask: boolean array, of all keys, True for the `S` real ones.
    """

    scores: np.ndarray
    query: np.ndarray
    key: np.ndarray
    query_mask: np.ndarray
    key_mask: np.ndarray


def check_records(records: Any) -> dict:
    """Returns records that hold attention weights, or raises."""
    if not isinstance(records, dict) or not records:
        raise ValueError(
            "Argument `records` must be what `record_attention` returns, of at least "
            f"one layer. Received: records of type {type(records).__name__}"
        )
    for path, record in records.items():
        if not hasattr(record, "scores") or not hasattr(record, "query_mask"):
            raise ValueError(
                "Argument `records` must hold an `AttentionRecord` for each layer. "
                f"Received: records[{path!r}] of type {type(record).__name__}"
            )
    return records


def read_sample(path: str, record: Any, sample: int) -> RecordedSample:
    """Returns one sample of a record without its padding.

    Args:
        path: string, of the layer, for messages.
        record: `AttentionRecord` with attention weights.
        sample: int, from 0 to the number of samples less one.
    """
    if record.scores is None:
        raise ValueError(
            "Argument `records` must hold attention weights. Received: "
            f"records[{path!r}].scores=None; leave this layer out"
        )
    checks.count("sample", sample)
    if sample >= len(record.scores):
        raise ValueError(
            f"Argument `sample` must be below {len(record.scores)}, the number of "
            f"samples of records[{path!r}]. Received: sample={sample}"
        )
    queries, keys = record.query_mask[sample], record.key_mask[sample]
    if not (queries.any() and keys.any()):
        raise ValueError(
            "Argument `sample` must be one with a real token. "
            f"Received: sample={sample}, which is padding in records[{path!r}]"
        )
    return RecordedSample(
        record.scores[sample][:, queries][:, :, keys],
        record.query[sample][queries].swapaxes(0, 1),
        record.key[sample][keys].swapaxes(0, 1),
        queries,
        keys,
    )


def real_tokens(
    name: str, tokens: Sequence[str], mask: np.ndarray, of_keys: bool = False
) -> list[str]:
    """Returns the tokens that are not padding.

    Args:
        name: string, of the argument, for messages.
        tokens: strings, one for each place of `mask`, or for each real one alone.
        mask: boolean array `(T,)`, True for a real token.
        of_keys: bool, whether tokens of queries are taken for those of keys.
    """
    is_sequence = isinstance(tokens, (list, tuple, np.ndarray))
    if not is_sequence or not all(isinstance(token, str) for token in tokens):
        raise ValueError(
            f"Argument `{name}` must be a list of strings. Received: {name}={tokens!r}"
        )
    if len(tokens) == len(mask):
        return [str(t) for t, real in zip(tokens, mask, strict=True) if real]
    if len(tokens) == mask.sum():
        return list(map(str, tokens))
    if of_keys:
        raise ValueError(
            f"Argument `key_tokens` must be given: there are {len(mask)} keys, and "
            f"{len(tokens)} tokens of queries. Received: key_tokens=None"
        )
    raise ValueError(
        f"Argument `{name}` must hold {len(mask)} tokens, or {mask.sum()} without the "
        f"padding of the sample. Received: {len(tokens)} in {name}"
    )
