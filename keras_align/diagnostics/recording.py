"""What attention layers compute on data: queries, keys, masks and scores."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_align.adapters.call_arguments import (
    arguments_by_name,
    noted_self_attention,
)
from keras_align.adapters.captured import masked_pairs
from keras_align.adapters.capturing import replaced
from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import adapter_of
from keras_align.graphs import is_sparse, with_sparse_tensors
from keras_align.validation import checks


@dataclass(frozen=True)
class AttentionRecord:
    """What one attention layer computed, as float32 and boolean NumPy arrays.

    Attributes:
        query: projected queries `(B, T, N, H)`.
        key: projected keys `(B, S, N, H)`; with grouped queries the key head of each
            query head.
        query_mask: `(B, T)`, True for a real token.
        key_mask: `(B, S)`, True for a real token.
        scores: attention weights after the softmax `(B, N, T, S)`, or `None` if they
            were not asked for or the class is not one of Keras's own.
    """

    query: np.ndarray
    key: np.ndarray
    query_mask: np.ndarray
    key_mask: np.ndarray
    scores: np.ndarray | None


def record_attention(
    model: keras.layers.Layer, inputs: Any, batch_size: int | None = 32
) -> dict[str, AttentionRecord]:
    """Records queries, keys and attention weights of a model on data.

    The model runs in inference mode; its layers are afterwards as before. All records
    are kept in memory, so choose few samples.

    Args:
        model: `keras.Model` or layer with attention that `align_model` can convert,
            plain or aligned.
        inputs: array, or nested structure of arrays, with the samples along the first
            axis; texts if the model has a `preprocessor`.
        batch_size: int > 0, or `None` for all inputs at once, as a graph's, which may
            then have unequal numbers of rows. Defaults to `32`.

    Returns:
        Dict from layer path, as in `alignment_report`, to `AttentionRecord`. The later
        calls of a layer that is called more than once are `"path@2"`, `"path@3"`, ...

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras.Model(inputs, x)
    >>> records = keras_align.record_attention(model, np.ones((4, 5, 16)))
    >>> tuple(records["attention"].scores.shape)
    (4, 2, 5, 5)
    """
    found: dict[str, list[AttentionRecord]] = {}
    for path, record in records(model, inputs, batch_size, scores=True):
        found.setdefault(path, []).append(record)
    return {path: _concatenate(of_batches) for path, of_batches in found.items()}


def records(
    model: keras.layers.Layer, inputs: Any, batch_size: int | None, scores: bool
) -> Iterator[tuple[str, AttentionRecord]]:
    """Yields path and `AttentionRecord` of every call in every batch."""
    find_attention(model)  # raises for what is no layer
    total = 0
    for batch in batches(model, inputs, batch_size):
        if not model.built:
            model(batch, training=False)  # building may call the layers, too
        with _recording(find_attention(model)[0], scores) as calls:
            model(batch, training=False)
        counts = {}
        for path, record in calls:
            counts[path] = counts.get(path, 0) + 1
            suffix = f"@{counts[path]}" if counts[path] > 1 else ""
            yield path + suffix, record
        total += len(calls)
    if not total:
        raise ValueError(
            f"Argument `model`: '{model.name}' calls no attention layer with queries "
            "and keys that can be recorded."
        )


def is_call_of(path: str, layer_path: str) -> bool:
    """Whether a path that `records` yields is of a call of the layer."""
    return path == layer_path or path.rpartition("@")[0] == layer_path


def batches(
    model: keras.layers.Layer, inputs: Any, batch_size: int | None
) -> Iterator[Any]:
    """Yields the inputs of a model in batches, texts preprocessed."""
    if isinstance(inputs, (list, tuple)) and all(isinstance(x, str) for x in inputs):
        inputs = np.array(inputs, dtype=object)
    if batch_size is not None:
        checks.positive_integer("batch_size", batch_size)
    odd = [type(leaf) for leaf in tree.flatten(inputs) if not hasattr(leaf, "shape")]
    if odd:
        raise ValueError(
            "Argument `inputs` must be an array, a nested structure of arrays, or a "
            f"list of strings. Received: inputs that hold {odd[0].__name__}"
        )
    inputs = with_sparse_tensors(inputs)
    if any(map(is_sparse, tree.flatten(inputs))):
        _check_whole(batch_size)
        yield tree.map_structure(ops.convert_to_tensor, inputs)
        return
    sizes = {len(leaf) for leaf in tree.flatten(inputs)}
    if batch_size is not None and (len(sizes) != 1 or 0 in sizes):
        raise ValueError(
            "Argument `inputs` must hold arrays of equally many samples, at least one. "
            f"Received arrays of {sorted(sizes)} samples."
        )
    kinds = {np.asarray(leaf[:1]).dtype.kind for leaf in tree.flatten(inputs)}
    texts = kinds <= {"O", "U", "S"}
    if texts and getattr(model, "preprocessor", None) is None:
        raise ValueError(
            "Argument `inputs` may hold texts only if the model has a `preprocessor`. "
            f"Received: texts for '{model.name}'"
        )
    step = batch_size or max(sizes)
    for start in range(0, max(sizes), step):
        rows = slice(start, start + step)
        batch = tree.map_structure(lambda leaf, rows=rows: leaf[rows], inputs)
        if texts:
            # Alone, a pair of columns would be taken for texts and their labels.
            labels = (None,) if isinstance(batch, tuple) else ()
            batch = model.preprocessor(batch, *labels)
        yield batch


def _check_whole(batch_size):
    if batch_size is not None:
        raise ValueError(
            "Argument `inputs` may hold sparse tensors only with `batch_size=None`. "
            f"Received: batch_size={batch_size}"
        )


@contextlib.contextmanager
def _recording(found, scores):
    """Puts a recording `call` on the instances; yields the list it appends to."""
    calls = []
    with contextlib.ExitStack() as stack:
        for each in found:
            layer, adapter = each.layer, adapter_of(each.layer)
            noted = stack.enter_context(noted_self_attention(layer, adapter))
            make = functools.partial(
                _recording_call, each, adapter, noted, calls, scores
            )
            stack.enter_context(replaced(layer, "call", make))
        yield calls


def _recording_call(found, adapter, self_attention, calls, scores, original):
    """What `replaced` puts in the place of a layer's `call`."""
    layer = found.layer

    def call(*args, **kwargs):
        given = arguments_by_name(type(layer).call.__get__(layer), args, kwargs)
        weights = None
        with adapter.capture(layer) as pairs:
            if scores:
                outputs, weights = adapter.call_with_scores(
                    layer, original, args, kwargs
                )
            else:
                outputs = original(*args, **kwargs)
        same = adapter.is_self_attention(layer, given)
        same = self_attention.pop() if self_attention else same
        heads = adapter.num_heads(layer)
        for query, key, *masks in masked_pairs(adapter, layer, given, same, pairs):
            key = ops.repeat(key, heads // key.shape[2], axis=2)
            calls.append((found.path, _make_record(query, key, masks, weights)))
        return outputs

    return call


def _make_record(query, key, masks, scores):
    query, key = _numpy(query), _numpy(key)
    query_mask, key_mask = map(_mask, masks, (query, key))
    scores = None if scores is None else _numpy(scores)
    return AttentionRecord(query, key, query_mask, key_mask, scores)


def _numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _mask(mask, tokens):
    if mask is None:
        return np.ones(tokens.shape[:2], bool)
    mask = ops.convert_to_numpy(ops.cast(mask, "bool"))
    return np.broadcast_to(mask, tokens.shape[:2])


def _concatenate(records):
    columns = {
        field.name: [getattr(record, field.name) for record in records]
        for field in fields(AttentionRecord)
    }
    joined: dict[str, Any] = {
        name: None if arrays[0] is None else np.concatenate(arrays)
        for name, arrays in columns.items()
    }
    return AttentionRecord(**joined)
