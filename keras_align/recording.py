"""What attention layers compute on data: queries, keys, masks and scores."""

import contextlib
from dataclasses import dataclass, fields

import numpy as np
from keras import ops, tree

from keras_align import checks
from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import ALIGNED_CLASSES, adapter_of, plain_class
from keras_align.layers.adapted_attention import arguments_by_name
from keras_align.layers.aligned_keras_attention import AlignedKerasAttention
from keras_align.layers.capturing import captured_arguments
from keras_align.layers.token_masks import flatten_axes, token_masks


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


def record_attention(model, inputs, batch_size=32):
    """Records queries, keys and attention weights of a model on data.

    The model runs in inference mode; nothing stays behind on its layers. All records
    are kept in memory, so choose few samples.

    Args:
        model: `keras.Model` or layer with attention that `align_model` can convert,
            plain or aligned.
        inputs: array, or nested structure of arrays, with the samples along the first
            axis; texts if the model has a `preprocessor`.
        batch_size: int > 0. Defaults to `32`.

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
    parts = {}
    for path, _, record in records(model, inputs, batch_size, scores=True):
        parts.setdefault(path, []).append(record)
    return {path: _concatenate(records) for path, records in parts.items()}


def records(model, inputs, batch_size, scores):
    """Yields path, layer and `AttentionRecord` of every call in every batch."""
    found, _ = find_attention(model)
    total = 0
    with _recording(found, scores) as calls:
        for batch in _batches(model, inputs, batch_size):
            model(batch, training=False)
            counts = {}
            for path, layer, record in calls:
                counts[path] = counts.get(path, 0) + 1
                suffix = f"@{counts[path]}" if counts[path] > 1 else ""
                yield path + suffix, layer, record
            total += len(calls)
            calls.clear()
    if not total:
        raise ValueError(
            f"Argument `model`: '{model.name}' calls no attention layer with queries "
            "and keys that can be recorded."
        )


def _batches(model, inputs, batch_size):
    if isinstance(inputs, (list, tuple)) and all(isinstance(x, str) for x in inputs):
        inputs = np.array(inputs, dtype=object)
    checks.positive_integer("batch_size", batch_size)
    odd = [type(leaf) for leaf in tree.flatten(inputs) if not hasattr(leaf, "shape")]
    if odd:
        raise ValueError(
            "Argument `inputs` must be an array, a nested structure of arrays, or a "
            f"list of strings. Received: inputs that hold {odd[0].__name__}"
        )
    sizes = {len(leaf) for leaf in tree.flatten(inputs)}
    if len(sizes) != 1 or 0 in sizes:
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
    for start in range(0, sizes.pop(), batch_size):
        part = slice(start, start + batch_size)
        batch = tree.map_structure(lambda leaf, part=part: leaf[part], inputs)
        if texts:
            # Alone, a pair of columns would be taken for texts and their labels.
            labels = (None,) if isinstance(batch, tuple) else ()
            batch = model.preprocessor(batch, *labels)
        yield batch


@contextlib.contextmanager
def _recording(found, scores):
    """Puts a recording `call` on the instances; yields the list it appends to."""
    calls = []
    try:
        for each in found:
            by_keras = plain_class(type(each.layer)) in ALIGNED_CLASSES
            each.layer.__dict__["call"] = (
                _recording_call(each, scores, calls)
                if by_keras or isinstance(each.layer, AlignedKerasAttention)
                else _adapted_recording_call(each, calls)
            )
        yield calls
    finally:
        for each in found:
            each.layer.__dict__.pop("call", None)


def _recording_call(found, scores, calls):
    layer, original = found.layer, found.layer.call

    def call(
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        **kwargs,
    ):
        wanted = scores or return_attention_scores
        with captured_arguments(layer) as projected:
            output = original(
                query,
                value,
                key=key,
                query_mask=query_mask,
                value_mask=value_mask,
                key_mask=key_mask,
                attention_mask=attention_mask,
                return_attention_scores=wanted,
                **kwargs,
            )
        source, source_mask = (value, value_mask) if key is None else (key, key_mask)
        masks = query_mask, source_mask, attention_mask
        axes = getattr(layer, "_attention_axes", None)
        *projected, query_mask, key_mask, attention_mask = flatten_axes(
            *projected[0], *masks, axes
        )
        masks = token_masks(
            query_mask, key_mask, attention_mask, _same_tokens(query, source)
        )
        weights = _numpy(output[1]) if wanted else None
        calls.append((found.path, layer, _make_record(*projected, *masks, weights)))
        return output if return_attention_scores or not wanted else output[0]

    return call


def _adapted_recording_call(found, calls):
    """As `_recording_call` for a class that has an adapter; without scores."""
    layer, original, adapter = found.layer, found.layer.call, adapter_of(found.layer)
    heads = adapter.num_heads(layer)

    def call(*args, **kwargs):
        given = arguments_by_name(original, args, kwargs)
        with adapter.capture(layer) as pairs:
            output = original(*args, **kwargs)
        same = adapter.is_self_attention(layer, given)
        masks = adapter.token_masks(layer, given, same)
        for query, key in pairs:
            key = ops.repeat(key, heads // key.shape[2], axis=2)
            record = _make_record(query, key, *masks, None)
            calls.append((found.path, layer, record))
        return output

    return call


def _same_tokens(query, source):
    """Whether two inputs are one; a cast to the compute dtype makes two of one."""
    if query is source:
        return True
    return query.shape == source.shape and np.array_equal(_numpy(query), _numpy(source))


def _make_record(query, key, query_mask, key_mask, scores):
    query, key = _numpy(query), _numpy(key)
    return AttentionRecord(
        query, key, _mask(query_mask, query), _mask(key_mask, key), scores
    )


def _numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _mask(mask, tokens):
    if mask is None:
        return np.ones(tokens.shape[:2], bool)
    mask = ops.convert_to_numpy(ops.cast(mask, "bool"))
    return np.broadcast_to(mask.reshape(len(mask), -1), tokens.shape[:2])


def _concatenate(records):
    columns = {
        field.name: [getattr(record, field.name) for record in records]
        for field in fields(AttentionRecord)
    }
    return AttentionRecord(
        **{
            name: None if parts[0] is None else np.concatenate(parts)
            for name, parts in columns.items()
        }
    )
