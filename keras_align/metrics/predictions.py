"""What the metrics of calibration read from the outputs of a classifier."""

import numbers
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals

# How far from one the probabilities of a sample may sum: a softmax that was computed
# in bfloat16 is off by up to 0.02.
NO_CLASS = -(2**31) + 1  # of a label between two classes
TOLERANCE = 0.03


class Predictions(NamedTuple):
    """What is known of every sample, in tensors `(n,)`.

    Attributes:
        confidence: float, the probability of the predicted class.
        correct: bool, whether the predicted class is the true one.
        weight: float; 0 for a sample that does not count, NaN for one whose values
            were found invalid in a traced function.
    """

    confidence: Any
    correct: Any
    weight: Any


def read_predictions(
    y_true: Any,
    y_pred: Any,
    sample_weight: Any = None,
    *,
    from_logits: bool,
    ignore_class: int | None,
    dtype: str,
) -> Predictions:
    """Reads a batch; invalid values of samples that count are a ValueError.

    Args:
        y_true: see `ExpectedCalibrationError.update_state`, as the next two.
        y_pred: see there.
        sample_weight: see there.
        from_logits: bool.
        ignore_class: integer or `None`.
        dtype: string, of the weights.
    """
    mask = keras_internals.token_mask(y_pred)
    _check_numbers(y_true=y_true, y_pred=y_pred, sample_weight=sample_weight)
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    axes = _check_shapes(tuple(y_true.shape), tuple(y_pred.shape))
    if 0 in tuple(y_pred.shape):  # of which Keras takes no maximum
        return Predictions(*(ops.zeros((0,), x) for x in ("float32", "bool", dtype)))
    label = _labels(y_true, axes)
    weight = _weights(sample_weight, y_pred, axes, dtype)
    if mask is not None:
        weight = weight * _weights(mask, y_pred, axes, dtype)
    if ignore_class is not None:
        weight = ops.where(ops.equal(label, ignore_class), 0.0, weight)
    probabilities = _probabilities(y_pred, from_logits)
    counts = ops.not_equal(weight, 0)
    valid = _valid(label, probabilities, weight, counts)
    if keras_internals.has_values(probabilities):
        values = {"y_true": label, "y_pred": y_pred, "sample_weight": weight}
        _raise_for_first(values, valid, from_logits)
    all_valid = valid["y_true"] & valid["y_pred"] & valid["sample_weight"]
    confidence = ops.where(counts, ops.max(probabilities, axis=-1), 0.0)
    predicted = ops.cast(ops.argmax(probabilities, axis=-1), "int32")
    return Predictions(
        confidence=ops.reshape(confidence, (-1,)),
        correct=ops.reshape(ops.equal(label, predicted), (-1,)),
        weight=ops.reshape(ops.where(all_valid, weight, float("nan")), (-1,)),
    )


def check_settings(from_logits: Any, ignore_class: Any) -> None:
    """Raises ValueError unless these are a bool, and an integer or `None`."""
    if not isinstance(from_logits, bool):
        raise ValueError(
            f"`from_logits` must be a bool. Received: from_logits={from_logits!r}"
        )
    is_integer = isinstance(ignore_class, numbers.Integral)
    if ignore_class is not None and (not is_integer or isinstance(ignore_class, bool)):
        raise ValueError(
            "`ignore_class` must be an integer or None. "
            f"Received: ignore_class={ignore_class!r}"
        )


def number_of_classes(shape: tuple) -> int:
    """How many classes outputs of this shape have; a single output has two."""
    return shape[-1] if len(shape) > 1 and shape[-1] != 1 else 2


def _check_numbers(**arguments):
    """Refuses texts and objects, which backends refuse in words of their own."""
    for name, value in arguments.items():
        dtype = getattr(value, "dtype", None)
        if dtype is None and isinstance(value, str | list | tuple):
            dtype = np.asarray(value).dtype
        if getattr(dtype, "kind", "") in ("O", "S", "U") or "string" in str(dtype):
            raise ValueError(f"`{name}` must hold numbers. Received: {value!r:.80}")


def _check_shapes(true_shape, pred_shape):
    """Returns how many leading axes number the samples."""
    axes = max(len(pred_shape) - 1, 1)
    fits = bool(pred_shape) and pred_shape[1:][-1:] != (0,)
    fits = fits and _compatible(true_shape[:axes], pred_shape[:axes])
    if len(true_shape) == axes + 1:
        classes = pred_shape[-1] if len(pred_shape) > 1 else 1
        fits = fits and true_shape[-1] in (1, classes, None)
    elif len(true_shape) != axes:
        fits = False
    if not fits:
        raise ValueError(
            "`y_true` must hold the class of every prediction, as integers of shape "
            "`(..., )` or `(..., 1)` or as one-hot vectors of the shape of `y_pred`, "
            "and `y_pred` the probabilities of the classes, `(..., C)`, or of class "
            f"1, `(..., 1)`. Received: y_true.shape={true_shape}, "
            f"y_pred.shape={pred_shape}"
        )
    return axes


def _compatible(shape, other):
    """Whether the axes of `shape` agree with the first ones of `other`."""
    return all(a == b or None in (a, b) for a, b in zip(shape, other, strict=False))


def _labels(y_true, axes):
    """Returns the true classes, int32 `(...)`."""
    if len(y_true.shape) == axes + 1:
        one_hot = y_true.shape[-1] != 1
        y_true = ops.argmax(y_true, axis=-1) if one_hot else y_true[..., 0]
    label = ops.cast(y_true, "int32")
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(y_true.dtype)):
        return label
    return ops.where(ops.equal(y_true, ops.floor(y_true)), label, NO_CLASS)


def _weights(sample_weight, y_pred, axes, dtype):
    """Returns one weight per sample, `(...)`."""
    shape = ops.shape(y_pred)[:axes]
    if sample_weight is None:
        return ops.ones(shape, dtype)
    weight = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    if len(weight.shape) == axes + 1 and weight.shape[-1] == 1:
        weight = ops.squeeze(weight, axis=-1)
    known = tuple(weight.shape)
    pairs = zip(known, tuple(y_pred.shape), strict=False)
    if len(known) > axes or not all(a in (1, b) or None in (a, b) for a, b in pairs):
        raise ValueError(
            "`sample_weight` must have one weight per sample. Received: "
            f"sample_weight.shape={tuple(weight.shape)} for "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    # As in Keras, a weight for each row counts for all samples of the row.
    weight = ops.reshape(weight, (*ops.shape(weight), *[1] * (axes - len(known))))
    return ops.broadcast_to(weight, shape)


def _probabilities(y_pred, from_logits):
    """Returns the probabilities of all classes, at least float32 `(..., C)`."""
    # As in Keras, logits and probabilities are compared in float32 at least.
    if keras.backend.standardize_dtype(y_pred.dtype) != "float64":
        y_pred = ops.cast(y_pred, "float32")
    if len(y_pred.shape) > 1 and y_pred.shape[-1] != 1:
        return ops.softmax(y_pred, axis=-1) if from_logits else y_pred
    y_pred = y_pred if len(y_pred.shape) > 1 else y_pred[:, None]
    y_pred = ops.sigmoid(y_pred) if from_logits else y_pred
    return ops.concatenate([1.0 - y_pred, y_pred], axis=-1)


def _valid(label, probabilities, weight, counts):
    """Returns which samples have valid values, or do not count, by argument."""
    # NaN compares as False.
    gap = ops.absolute(ops.sum(probabilities, axis=-1) - 1.0)
    least = ops.min(probabilities, axis=-1)
    valid = {
        "y_true": (label >= 0) & (label < ops.shape(probabilities)[-1]),
        "y_pred": (gap <= TOLERANCE) & (least >= -TOLERANCE),
        "sample_weight": (weight > 0) & (weight < float("inf")),
    }
    return {name: each | ops.logical_not(counts) for name, each in valid.items()}


def _raise_for_first(values, valid, from_logits):
    """Raises for the first invalid value of an argument."""
    expected = {
        "y_true": "classes from 0 to the number of classes of `y_pred` less one; "
        "another one can be left out by `ignore_class`",
        "y_pred": "probabilities that are not negative and sum to one over the "
        "classes; for logits, set `from_logits=True`",
        "sample_weight": "finite weights that are not negative",
    }
    if from_logits:
        expected["y_pred"] = "logits whose softmax is not NaN"
    for name, each in valid.items():
        invalid = np.argwhere(~ops.convert_to_numpy(each))
        if len(invalid):
            at = tuple(map(int, invalid[0]))
            value = ops.convert_to_numpy(ops.cast(values[name][at], "float32"))
            raise ValueError(
                f"`{name}` must hold {expected[name]}. Received: "
                f"{name}{list(at)}={value}"
            )
