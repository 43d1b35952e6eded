"""What the attention of a model does on a fixed sample of inputs."""

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_align.callbacks.adversary_state import (
    adversary_norm,
    discriminator_accuracy,
)
from keras_align.conversion.finding import Found, find_attention
from keras_align.conversion.supported import adapter_of, is_aligned
from keras_align.diagnostics.measuring import PooledTokens
from keras_align.diagnostics.recording import (
    AttentionRecord,
    batches,
    is_call_of,
    records,
)
from keras_align.diagnostics.unchanged_state import unchanged_state
from keras_align.graphs import is_sparse

# From path and quantity to the values of the heads `(N,)`, or to one of the layer.
Measured = dict[tuple[str, str], np.ndarray | float]


class AttentionSample:
    """Inputs on which a model is measured, which stays as it was.

    Args:
        inputs: as in `measure_alignment`. Texts are preprocessed once.
        batch_size: as in `measure_alignment`.
        bandwidth: as in `measure_alignment`.
        max_tokens: as in `measure_alignment`.
        seed: as in `measure_alignment`.
    """

    def __init__(
        self,
        inputs: Any,
        batch_size: int | None,
        bandwidth: float | None,
        max_tokens: int,
        seed: int,
    ) -> None:
        self.inputs, self.batch_size, self.bandwidth = inputs, batch_size, bandwidth
        self.max_tokens, self.seed = max_tokens, seed
        self._batches: list[Any] | None = None

    def measure(self, model: keras.Model) -> Measured:
        """Runs the model once on the sample, in inference mode.

        Quantities are "mmd" and "matched_mmd", see `measure_alignment`, "query_norm"
        and "key_norm", mean Euclidean norms, "entropy", of the attention weights of a
        query in nats, where the layer tells its weights, "adversary_accuracy" for
        "gan" and "adversary_norm" for every adversary; means are over real tokens.
        """
        found = find_attention(model)[0]
        pooled = PooledTokens(self.max_tokens, self.seed)
        of_calls: dict[str, _CallSums] = {}
        with unchanged_state(model):
            for batch in self._kept_batches(model):
                for path, record in records(model, batch, None, scores=True):
                    pooled.add(path, record)
                    if path not in of_calls:
                        of_calls[path] = _CallSums(_layer_of(path, found))
                    of_calls[path].add(record)
        measured: Measured = self._discrepancies(model, pooled)
        for path, sums in of_calls.items():
            measured |= {(path, name): x for name, x in sums.results().items()}
        for each in found:
            norm = adversary_norm(each.layer.alignment) if _is_aligned(each) else None
            if norm is not None:
                measured[each.path, "adversary_norm"] = norm
        return measured

    def _kept_batches(self, model):
        if self._batches is None:
            found = batches(model, self.inputs, self.batch_size)
            self._batches = [tree.map_structure(_kept, batch) for batch in found]
        return self._batches

    def _discrepancies(self, model, pooled):
        """MMD as it is and after matching moments; NaN where values are not finite."""
        samples, measured = pooled.samples, {}
        finite = {path for path, pair in samples.items() if all(map(_is_finite, pair))}
        for quantity, matched in (("mmd", False), ("matched_mmd", True)):
            found = pooled.measure(model, self.bandwidth, matched, finite).per_layer
            for path, (query, _) in samples.items():
                nothing = np.full(query.shape[1], np.nan)
                measured[path, quantity] = found.get(path, nothing)
        return measured


class _CallSums:
    """Sums over the real tokens of all batches of a call, by quantity."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        heads = adapter_of(layer).num_key_heads(layer)
        self._accuracy = discriminator_accuracy(layer, heads)
        self._sums: dict[str, list[Any]] = {}

    def add(self, record: AttentionRecord) -> None:
        norms = (_norms(x) for x in (record.query, record.key))
        masks = record.query_mask, record.key_mask
        for name, x, mask in zip(("query_norm", "key_norm"), norms, masks, strict=True):
            self._add(name, x[mask])
        if record.scores is not None:
            of_queries = _entropy(record.scores).transpose(0, 2, 1)  # (B, T, N)
            self._add("entropy", of_queries[record.query_mask])
        if self._accuracy is not None:
            self._accuracy.add(record)

    def _add(self, name, values):
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = [total + values.sum(axis=0), count + len(values)]

    def results(self) -> dict[str, np.ndarray]:
        """From quantity to float64 `(N,)`."""
        means = {name: total / count for name, (total, count) in self._sums.items()}
        if self._accuracy is not None:
            means["adversary_accuracy"] = self._accuracy.result()
        return means


def _layer_of(path, found):
    return next(each.layer for each in found if is_call_of(path, each.path))


def _is_aligned(found: Found) -> bool:
    return is_aligned(found.layer)


def _kept(leaf):
    """A leaf of a batch as an array, unless it is sparse."""
    is_plain = isinstance(leaf, np.ndarray) or is_sparse(leaf)
    return leaf if is_plain else ops.convert_to_numpy(leaf)


def _is_finite(x):
    return bool(np.isfinite(x).all())


def _norms(x):
    return np.sqrt(np.square(x.astype("float64")).sum(axis=-1))


def _entropy(weights):
    """Of attention weights `(B, N, T, S)`, in nats: `(B, N, T)`."""
    weights = weights.astype("float64")
    logarithms = np.log(np.where(weights > 0.0, weights, 1.0))
    return -np.sum(weights * logarithms, axis=-1)
