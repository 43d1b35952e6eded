"""Equal moments of keys and queries without a change of what the model predicts."""

from typing import Any

import keras
import numpy as np
from keras import tree

from keras_align.conversion.choosing import Choice, select
from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import adapter_of, why_unsupported
from keras_align.diagnostics.recording import batches, is_call_of, records
from keras_align.matching.change import Change
from keras_align.matching.matched_moments import LayerMatch, MatchedMoments
from keras_align.matching.unchanged_outputs import UnchangedOutputs
from keras_align.moments import Moments, matching_map, note_match
from keras_align.validation import checks

_NO_BIAS = "keys have no bias, so that their mean cannot be shifted"
_MATCHED = {
    ("full", "mean", True): "means",
    ("full", "covariance", True): "means, covariances",
    ("full", "covariance", False): "second moments",
    ("rotary", "covariance", False): "scale of pairs",
    ("scale", "covariance", False): "scale",
}


def match_moments(
    model: keras.layers.Layer,
    inputs: Any,
    layers: Choice = None,
    moments: str = "mean",
    ridge: float = 1e-4,
    batch_size: int = 32,
) -> MatchedMoments:
    """Makes means, or also covariances, of keys and queries equal, in closed form.

    The weights of softmax attention do not change when one vector c is added to all
    keys of a head, nor under `q -> q A`, `k -> k A^-T` with an invertible A. Of these
    exact symmetries those A and c are put into the projections, in place, with which
    queries and keys of each head have the same moments on `inputs`, over real tokens.
    What the model predicts stays, but for rounding, as a rule below 1e-5 of the largest
    output in float32. It is checked on four samples: a layer that changes an output by
    more than 1e-3 of the largest (0.1 in half precision) is left as it was.
    Nothing is trained, and inference costs what it did. So most of the discrepancy of
    a pre-trained model, which is a choice of coordinates, is gone before training.

    Which symmetries hold depends on the attention. Rotary positions allow scales alone.
    Keys without a bias cannot be shifted. Layers with normalised queries and keys, with
    relative positions that take part through them, quantized or with LoRA weights are
    left; the result says why. So are classes given to `register_attention` without the
    argument `symmetry` of their adapter.

    Larger scores are rounded more coarsely: under bfloat16 the error of a row of
    attention weights grows some 1.4 times for means and 2.4 times for covariances
    (measured on MiniLM). Training from equal means takes the same steps as before;
    covariances change how fast weights learn. So means are the default. Call it before
    an optimizer gathers its moments: they are not mapped.

    Args:
        model: `keras.Model` or layer, plain or aligned.
        inputs: array, or nested structure of arrays, with the samples along the first
            axis; texts if the model has a `preprocessor`. A hundred sentences do.
        layers: as in `align_model`; `None`, the default, for all.
        moments: `"mean"`, the default, or `"covariance"`, which matches both, and
            scales where means cannot be shifted.
        ridge: float >= 0, share of the mean variance of a head that is added to its
            covariances, for features that are hardly used. Defaults to `1e-4`.
        batch_size: int > 0. Defaults to `32`.

    Returns:
        `MatchedMoments`: prints as a table; `restore()` undoes all, and as a context
        manager it does so at the end.

    Raises:
        ValueError: if an argument is wrong, or no layer can be matched. The model is
            then unchanged.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras.Model(inputs, x)
    >>> x = np.random.randn(4, 50, 16)
    >>> matched = keras_align.match_moments(model, x, moments="covariance")
    >>> keras_align.measure_alignment(model, x).total < 0.01
    True
    >>> matched.restore()
    """
    checks.choice("moments", moments, ("mean", "covariance"))
    checks.not_negative("ridge", ridge)
    _check_symmetries(model, find_attention(model)[0])
    few = _few(next(batches(model, inputs, batch_size)))
    if not model.built:
        model(few, training=False)
    found, others = find_attention(model)
    chosen = select(found, others, layers)
    gathered = _gather(model, inputs, batch_size)
    unchanged = UnchangedOutputs(model, few)
    rows, changes = [], []
    result = MatchedMoments((), changes)
    try:
        for each in chosen:
            outcome = _match(each, gathered, moments, ridge, changes, unchanged)
            rows.append(LayerMatch(each.path, type(each.layer).__name__, *outcome))
    except BaseException:
        result.restore()
        raise
    rows += [
        LayerMatch(x.path, type(x.layer).__name__, "", why_unsupported(x.layer))
        for x in others
        if layers is None
    ]
    if not changes:
        raise _nothing_to_match(model, {row.path: row.note for row in rows})
    result = MatchedMoments(tuple(rows), changes)
    _note_rows(result, chosen)
    return result


def _check_symmetries(model, found):
    """Raises where no attention that was found has one, before any data are read."""
    of_layers = {x.path: adapter_of(x.layer).symmetry(x.layer) for x in found}
    if found and all(each.kind == "none" for each in of_layers.values()):
        reasons = {path: each.reason for path, each in of_layers.items()}
        raise _nothing_to_match(model, reasons)


def _nothing_to_match(model, reasons):
    return ValueError(
        f"Argument `model`: no attention layer of '{model.name}' can be matched: "
        f"{reasons}"
    )


def _note_rows(result, chosen):
    for row, each in zip(result.rows, chosen, strict=False):
        text = f"matched: {row.matched}" if row.matched else f"not matched: {row.note}"
        note_match(each.layer, text, result.owner)


def _few(batch, count=4):
    """Samples from all over a batch."""
    step = max(len(tree.flatten(batch)[0]) // count, 1)
    return tree.map_structure(lambda x: x[::step][:count], batch)


def _gather(model, inputs, batch_size):
    """Moments of queries and of keys by path, of all calls of a layer."""
    gathered: dict[str, tuple[Moments, Moments]] = {}
    found, _ = find_attention(model)
    for path, record in records(model, inputs, batch_size, scores=False):
        called = next(each for each in found if is_call_of(path, each.path))
        heads = adapter_of(called.layer).num_key_heads(called.layer)
        if record.key.shape[2] % heads:
            continue
        pair = gathered.setdefault(called.path, (Moments(heads), Moments(heads)))
        group = record.key.shape[2] // heads
        pair[0].add(record.query, record.query_mask)
        pair[1].add(record.key[:, :, ::group], record.key_mask)
    return gathered


def _match(found, gathered, moments, ridge, changes, unchanged):
    """Matches one layer; returns what was matched, and why not more."""
    layer, adapter = found.layer, adapter_of(found.layer)
    symmetry = adapter.symmetry(layer)
    if symmetry.kind == "none":
        return "", symmetry.reason
    query_moments, key_moments = gathered.get(found.path, (Moments(1), Moments(1)))
    if not (query_moments.count and key_moments.count):
        return "", "the model does not call it with a real token"
    if moments == "mean" and symmetry.kind != "full":
        return "", f"{symmetry.reason}; moments='covariance' matches that"
    try:
        query, key = adapter.head_weights(layer)
    except ValueError as error:
        return "", str(error)
    shifts = symmetry.kind == "full" and key.has_bias
    if moments == "mean" and not shifts:
        return "", _NO_BIAS
    of_heads = matching_map(
        query_moments, key_moments, symmetry.kind, moments, shifts, ridge
    )
    if not all(map(np.all, map(np.isfinite, vars(of_heads).values()))):
        return "", "its queries or keys are not finite"
    changes.append(Change(layer, query, key, of_heads))
    if not unchanged():
        changes.pop().undo()
        return "", unchanged.reason
    notes = [symmetry.reason if shifts or symmetry.kind != "full" else _NO_BIAS]
    if query_moments.count < query_moments.mean.shape[-1]:
        notes.append("fewer tokens than features: give more samples")
    if unchanged.change > 1e-5:
        notes.append(f"an output changes by {unchanged.change:.0e} of the largest")
    if not unchanged.can_tell:
        notes.append("not checked: no float output is the same in two calls")
    matched = _MATCHED[symmetry.kind, moments, shifts]
    return matched, "; ".join(filter(None, notes))
