"""How far queries and keys of a model are apart, measured on data."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import adapter_of
from keras_align.diagnostics.pooled_discrepancy import pooled_discrepancies
from keras_align.diagnostics.recording import (
    AttentionRecord,
    is_call_of,
    records,
)
from keras_align.diagnostics.reporting import format_table
from keras_align.moments import Moments, matching_map
from keras_align.validation import checks


@dataclass(frozen=True)
class AlignmentMeasure:
    """MMD between queries and keys for every layer and head; prints as a table.

    Attributes:
        per_layer: dict, from layer path to float array `(N,)`.
        bandwidths: dict, from layer path to the bandwidth of the kernel.
    """

    per_layer: dict[str, np.ndarray]
    bandwidths: dict[str, float]

    @property
    def values(self) -> np.ndarray:
        """Float array `(layers, N)`, for layers of equally many heads.

        Raises:
            ValueError: for layers of different numbers of heads; see `per_layer`.
        """
        heads = {len(values) for values in self.per_layer.values()}
        if len(heads) > 1:
            raise ValueError(
                "`values` needs layers of equally many heads, `per_layer` does not. "
                f"Received: layers of {sorted(heads)} heads"
            )
        return np.stack(list(self.per_layer.values()))

    @property
    def total(self) -> float:
        """Sum over all heads and layers, the number that the paper reports."""
        return float(sum(values.sum() for values in self.per_layer.values()))

    def __str__(self) -> str:
        rows = [
            (path, f"{self.bandwidths[path]:.3g}")
            + tuple(f"{f(values):.4f}" for f in (np.sum, np.mean, np.min, np.max))
            for path, values in self.per_layer.items()
        ]
        titles = ("layer", "bandwidth", "MMD", "mean of heads", "smallest", "largest")
        lines = format_table(titles, rows, right_aligned=range(1, 6))
        return "\n".join([*lines, f"total MMD {self.total:.4f}"])

    __repr__ = __str__


def measure_alignment(
    model: keras.layers.Layer,
    inputs: Any,
    bandwidth: float | None = None,
    batch_size: int | None = 32,
    max_tokens: int = 2048,
    seed: int = 0,
    matched: bool = False,
) -> AlignmentMeasure:
    """Measures how far queries and keys of each attention layer and head are apart.

    The real tokens of all samples are pooled: each head has one set of queries and
    one of keys, and the number is the unbiased estimate (Gretton et al. 2012, eq. 3) of
    their squared MMD, `E[k(q, q')] + E[k(k, k')] - 2 E[k(q, k)]` with
    `k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2))`. It is about 0, and may be below, for
    equal distributions. (The biased estimate of one short sentence would never fall
    below about 2 / T. Unbiased is this one for independent tokens; that a query and a
    key are of one token lowers it by at most 2 / T.) Of more than `max_tokens` tokens a
    uniform sample is taken; in self-attention queries and keys are of the same tokens.
    Plain and aligned models are measured in the same way, so their numbers compare.

    Args:
        model: as in `record_attention`.
        inputs: as in `record_attention`.
        bandwidth: float > 0, or `None`, the default, for the square root of the head
            size.
        batch_size: as in `record_attention`.
        max_tokens: int > 1, most queries and keys of a head. Defaults to `2048`.
        seed: int, of the sample. Defaults to `0`.
        matched: bool, whether to measure in the coordinates with equal moments of
            queries and keys, as far as the symmetries of each attention allow, see
            `match_moments`. What then remains is no choice of coordinates. The moments
            are those of the very tokens that are measured, so few tokens flatter it;
            the model stays as it is. Defaults to `False`.

    Returns:
        An `AlignmentMeasure`: `.per_layer`, `.values`, `.total`; prints as a table.

    Raises:
        ValueError: if an argument is wrong or the model calls no attention layer.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras.Model(inputs, x)
    >>> keras_align.measure_alignment(model, np.random.randn(4, 5, 16)).values.shape
    (1, 2)
    """
    checks.positive_integer("max_tokens", max_tokens)
    checks.count("seed", seed)
    if max_tokens < 2:
        raise ValueError(
            f"Argument `max_tokens` must be above 1. Received: max_tokens={max_tokens}"
        )
    if bandwidth is not None:
        checks.positive("bandwidth", bandwidth)
    pooled = PooledTokens(max_tokens, seed)
    for path, record in records(model, inputs, batch_size, scores=False):
        pooled.add(path, record)
    return pooled.measure(model, bandwidth, matched)


class PooledTokens:
    """Uniform samples of the real queries and keys of every call, from all batches.

    Args:
        max_tokens: int > 1, most queries and keys of a head.
        seed: int, of the samples.

    Attributes:
        samples: dict from path to the list of float arrays `(tokens, N, H)` of queries
            and of keys.
    """

    def __init__(self, max_tokens: int, seed: int) -> None:
        self.max_tokens, self.seed, self._pairs = max_tokens, seed, {}

    @property
    def samples(self) -> dict[str, list[np.ndarray]]:
        return {path: [x.tokens for x in pair] for path, pair in self._pairs.items()}

    def add(self, path: str, record: AttentionRecord) -> None:
        """Adds a record that `records` yields."""
        if path not in self._pairs:
            pair = [_TokenSample(self.max_tokens, self.seed) for _ in range(2)]
            self._pairs[path] = pair
        queries, keys = self._pairs[path]
        queries.add(record.query, record.query_mask)
        keys.add(record.key, record.key_mask)

    def measure(
        self,
        model: keras.layers.Layer,
        bandwidth: float | None = None,
        matched: bool = False,
        paths: Collection[str] | None = None,
    ) -> AlignmentMeasure:
        """What `measure_alignment` returns, of these paths or of all."""
        tokens = self.samples
        if paths is not None:
            tokens = {path: x for path, x in tokens.items() if path in paths}
        bandwidths = {
            path: float(bandwidth or query.shape[-1] ** 0.5)
            for path, (query, _) in tokens.items()
        }
        if matched:
            tokens = _matched(model, tokens)
        per_layer = {
            path: _discrepancies(query, key, bandwidths[path])
            for path, (query, key) in tokens.items()
        }
        return AlignmentMeasure(per_layer, bandwidths)


def _matched(model, tokens):
    """Samples of queries and keys by path, in the coordinates of equal moments.

    The calls of a layer share their coordinates.
    """
    matched = {}
    for each in find_attention(model)[0]:
        calls = {path: x for path, x in tokens.items() if is_call_of(path, each.path)}
        if calls:
            queries, keys = map(np.concatenate, zip(*calls.values(), strict=True))
            of_heads = _map_of(each.layer, queries, keys)
            for path, (query, key) in calls.items():
                matched[path] = of_heads.of_queries(query), of_heads.of_keys(key)
    return {path: [each.astype("float32") for each in matched[path]] for path in tokens}


def _map_of(layer, query, key):
    """The `MatchingMap` of samples `(tokens, N, H)`, as far as the layer allows it."""
    adapter = adapter_of(layer)
    kind, heads = adapter.symmetry(layer).kind, adapter.num_key_heads(layer)
    heads = heads if query.shape[1] % heads == 0 else query.shape[1]
    of_query, of_key = Moments(heads), Moments(heads)
    for moments, sample in ((of_query, query), (of_key, key)):
        if not len(sample):
            raise ValueError("Argument `inputs` must hold at least one real token.")
        moments.add(sample[None], np.ones((1, len(sample)), bool))
    of_heads = matching_map(of_query, of_key, kind, shifts=_can_shift(adapter, layer))
    return of_heads.repeated(query.shape[1] // heads)


def _can_shift(adapter, layer):
    try:
        return adapter.head_weights(layer)[1].has_bias
    except ValueError:  # no projections whose weights could be changed
        return False


class _TokenSample:
    """Uniform sample, without replacement, of the real tokens of all batches."""

    def __init__(self, size, seed):
        self.size = size
        self.random = np.random.default_rng(seed)
        self.tokens = self.priority = None

    def add(self, vectors, mask):
        tokens = vectors[mask]  # (tokens, N, H)
        priority = self.random.random(len(tokens))
        if self.tokens is not None:
            tokens = np.concatenate([self.tokens, tokens])
            priority = np.concatenate([self.priority, priority])
        keep = np.sort(np.argsort(priority)[: self.size])
        self.tokens, self.priority = tokens[keep], priority[keep]


def _discrepancies(query, key, bandwidth):
    if not (len(query) and len(key)):
        raise ValueError("Argument `inputs` must hold at least one real token.")
    return pooled_discrepancies(query, key, bandwidth)
