"""Attention weights, queries and keys as BertViz shows them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_align.visualization.panels import require
from keras_align.visualization.recorded_sample import (
    check_records,
    read_sample,
    real_tokens,
)


def to_bertviz(
    records: dict,
    tokens: Sequence[str],
    sample: int = 0,
    key_tokens: Sequence[str] | None = None,
    neurons: bool = False,
) -> dict[str, Any]:
    """Returns the arguments with which BertViz shows the attention of one sample.

    BertViz (`pip install bertviz`) draws interactive views in a notebook. Its
    `head_view` and `model_view` take the result as keyword arguments. Padding is left
    out. All layers must have equally many heads and the same tokens: for a model with
    an encoder and a decoder, call this for the layers of each kind, and pass the
    attention as `encoder_attention=` and `decoder_attention=` beside the result for
    cross-attention.

    The neuron view computes its data from a model of its own. With `neurons=True` the
    result is such data, what `bertviz.neuron_view.get_attention` returns: put a
    function that returns it in the place of that one, and call
    `bertviz.neuron_view.show`.

    References:
        - [Vig, 2019](https://aclanthology.org/P19-3007/)

    Args:
        records: What `record_attention` returns, or the entries of some layers, of
            `L` layers with `N` heads.
        tokens: List of strings, of the queries: one for each position, padding
            included, or for the `T` that are no padding alone.
        sample: Integer, the sample to show. Defaults to `0`.
        key_tokens: List of strings, of the keys in cross-attention, `S` without
            padding. Defaults to `None`, for self-attention, where `S` is `T`.
        neurons: Bool, whether to return the data of the neuron view, with queries and
            keys. Defaults to `False`.

    Returns:
        A dictionary: `"attention"`, a list of `L` float32 PyTorch tensors of shape
        `(1, N, T, S)`, and `"tokens"`, a list of `T` strings. With `key_tokens` these
        are `"cross_attention"`, `"decoder_tokens"` and `"encoder_tokens"`. With
        `neurons=True` it is `{"all": {...}}` with lists of numbers: `"attn"` of shape
        `(L, N, T, S)`, `"queries"` `(L, N, T, H)` and `"keys"` `(L, N, S, H)`, and
        lists of strings `"left_text"` and `"right_text"`.

    Raises:
        ValueError: If records, tokens and sample do not fit, a record has no
            attention weights, or layers differ in heads or tokens.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> records = record_attention(keras.Model(inputs, x), np.ones((4, 3, 16)))
    >>> tokens = ["a", "fine", "film"]
    >>> import bertviz  # doctest: +SKIP
    >>> bertviz.head_view(
    ...     **keras_align.visualization.to_bertviz(records, tokens)
    ... )  # doctest: +SKIP
    """
    records = check_records(records)
    samples = [read_sample(path, record, sample) for path, record in records.items()]
    _check_alike(dict(zip(records, samples, strict=True)))
    first = samples[0]
    left = real_tokens("tokens", tokens, first.query_mask)
    if key_tokens is None:
        _check_self_attention(first)
        right = left
    else:
        right = real_tokens("key_tokens", key_tokens, first.key_mask)
    if neurons:
        return {"all": _neuron_data(samples, left, right)}
    torch = require("torch", "to_bertviz", ("torch",))
    attention = [torch.tensor(each.scores[None]) for each in samples]
    if key_tokens is None:
        return {"attention": attention, "tokens": left}
    return {
        "cross_attention": attention,
        "decoder_tokens": left,
        "encoder_tokens": right,
    }


def _neuron_data(samples, left, right):
    sizes = {each.query.shape[-1] for each in samples}
    if len(sizes) > 1:
        raise ValueError(
            "Argument `records` must be of layers of one head size for the neuron "
            f"view. Received: records with head sizes of {sorted(sizes)}"
        )
    return {
        "attn": [each.scores.tolist() for each in samples],
        "queries": [each.query.tolist() for each in samples],
        "keys": [each.key.tolist() for each in samples],
        "left_text": left,
        "right_text": right,
    }


def _check_alike(samples):
    """Raises unless all layers have the same heads and real tokens."""
    first = next(iter(samples.values()))
    for path, each in samples.items():
        alike = (
            each.scores.shape == first.scores.shape
            and np.array_equal(each.query_mask, first.query_mask)
            and np.array_equal(each.key_mask, first.key_mask)
        )
        if not alike:
            raise ValueError(
                "Argument `records` must be of layers with equally many heads and the "
                "same tokens; choose such entries. Received: attention weights "
                f"{first.scores.shape} and, in records[{path!r}], {each.scores.shape}"
            )


def _check_self_attention(sample):
    if not np.array_equal(sample.query_mask, sample.key_mask):
        raise ValueError(
            "Argument `key_tokens` must be given where keys are other tokens than "
            "queries. Received: key_tokens=None and attention weights "
            f"{sample.scores.shape}"
        )
