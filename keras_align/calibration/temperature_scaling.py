"""One temperature for all logits of a trained classifier."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks

_SMALLEST, _LARGEST = 0.01, 100.0  # of the temperature
_STEPS = 60  # halvings of the interval in which the slope changes its sign


@keras.saving.register_keras_serializable(package="keras_align")
class TemperatureScaling(keras.layers.Layer):
    """Divides logits by one number, fitted on validation data.

    The temperature minimises the negative log-likelihood of labels that were not
    trained on (Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 4.2). The
    predicted classes stay; confidences become smaller above 1 and larger below.

    Args:
        temperature: float > 0, before `fit`. Defaults to `1.0`.
        **kwargs: arguments of `keras.layers.Layer`; `dtype` is float32 by default.

    Call arguments:
        logits: float tensor `(..., classes)`, or `(..., 1)` for one logit of two
            classes.

    Returns:
        Float tensor of the same shape, `logits / temperature`.

    Example:

    >>> scaling = keras_align.TemperatureScaling()
    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    >>> scaling.fit(logits, [0, 1, 1, 1])  # 3 of 4 are right, not 98 of 100
    >>> probabilities = keras.ops.softmax(scaling(logits))
    >>> round(float(probabilities[0, 0]), 3)
    0.75
    """

    def __init__(self, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        checks.positive("temperature", temperature)
        initial = keras.initializers.Constant(temperature)
        self._temperature = self.add_weight(
            shape=(), initializer=initial, trainable=False, name="temperature"
        )
        self.supports_masking = True
        self.built = True

    @property
    def temperature(self) -> float:
        """The number by which logits are divided."""
        return float(ops.convert_to_numpy(self._temperature))

    def fit(self, logits: Any, labels: Any, sample_weight: Any = None) -> None:
        """Sets the temperature that makes labels most likely.

        It stays within 0.01 and 100, where it ends, with a warning, if all predictions
        are right or if confidence says nothing about being right. Where all logits of a
        sample are equal, in every sample, any temperature is as likely, and it is set
        to 1. The slope is found to change its sign by bisection: the negative
        log-likelihood is convex in the inverse temperature.

        Args:
            logits: float array `(n, classes)`, or `(n, 1)` or `(n,)` of two classes.
            labels: integer array `(n,)`, or one-hot `(n, classes)`.
            sample_weight: float array `(n,)` >= 0, or `None`.

        Raises:
            ValueError: if an argument has another shape or values.
        """
        logits, labels = _read(logits, labels)
        weight = _read_weight(sample_weight, len(labels))
        counts = weight > 0.0
        logits, labels, weight = logits[counts], labels[counts], weight[counts]
        if np.ptp(logits, axis=-1).max() == 0.0:
            self._temperature.assign(1.0)
            return
        low, high = np.log(1.0 / _LARGEST), np.log(1.0 / _SMALLEST)
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            if _slope(logits, labels, weight, np.exp(middle)) > 0.0:
                high = middle
            else:
                low = middle
        self._temperature.assign(np.exp(-0.5 * (low + high)))
        if not 1.01 * _SMALLEST < self.temperature < 0.99 * _LARGEST:
            warnings.warn(
                f"The temperature ended at {self.temperature:g}, an end of its range: "
                "all predictions are right, or confidence says nothing about them. "
                "Fit it on more samples.",
                stacklevel=2,
            )

    def call(self, logits: Tensor) -> Tensor:
        return logits / ops.cast(self._temperature, logits.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


def _slope(logits, labels, weight, inverse):
    """Derivative of the mean negative log-likelihood by the inverse temperature."""
    scaled = inverse * (logits - logits.max(-1, keepdims=True))
    probabilities = np.exp(scaled)
    probabilities /= probabilities.sum(-1, keepdims=True)
    expected = np.sum(probabilities * logits, axis=-1)
    return np.sum(weight * (expected - logits[np.arange(len(labels)), labels]))


def _as_numbers(name, values):
    """An array of numbers of an argument."""
    try:
        if ops.is_tensor(values):
            is_half = keras.backend.standardize_dtype(values.dtype) == "bfloat16"
            values = ops.cast(values, "float32") if is_half else values
            values = ops.convert_to_numpy(values)
        values = np.asarray(values)
        numbers = values.dtype.kind in "biuf"
    except (TypeError, ValueError) as error:  # as of lists of different lengths
        numbers, values = False, error
    if not numbers:
        raise ValueError(
            f"Argument `{name}` must hold numbers. Received: {values!r:.200}"
        )
    return values


def _read(logits, labels):
    """Float64 `(n, classes)`, and integers `(n,)`."""
    with np.errstate(over="ignore"):  # which is refused below
        logits = _as_numbers("logits", logits).astype("float32").astype("float64")
    labels = _as_numbers("labels", labels)
    if logits.ndim not in (1, 2) or not logits.size:
        raise ValueError(
            "Argument `logits` must be of the shape (n, classes), (n, 1) or (n,), n > "
            f"0. Received: logits of the shape {logits.shape}"
        )
    if not np.isfinite(logits).all():
        wrong = logits[~np.isfinite(logits)][0]
        raise ValueError(
            f"Argument `logits` must be finite in float32. Received: {wrong} in logits "
            f"of the shape {logits.shape}"
        )
    if logits.ndim == 1 or logits.shape[-1] == 1:
        logits = logits.reshape(-1, 1) * np.array([[0.0, 1.0]])
    is_one_hot = labels.shape == logits.shape and np.isin(labels, (0, 1)).all()
    if is_one_hot and (labels.sum(-1) == 1).all():
        labels = labels.argmax(-1)
    labels = labels[:, 0] if labels.shape == (len(logits), 1) else labels
    whole = labels.shape == (len(logits),) and np.all(labels == np.floor(labels))
    if not whole or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"Argument `labels` must be {len(logits)} integers in "
            f"[0, {logits.shape[1]}), or one-hot. Received: labels={labels}"
        )
    return logits, labels.astype(int)


def _read_weight(sample_weight, count):
    if sample_weight is None:
        return np.ones(count)
    weight = _as_numbers("sample_weight", sample_weight).astype("float64").reshape(-1)
    if (
        weight.shape != (count,)
        or not 0.0 < weight.sum() < np.inf
        or weight.min() < 0.0
    ):
        raise ValueError(
            f"Argument `sample_weight` must be {count} numbers >= 0, not all 0. "
            f"Received: sample_weight={sample_weight}"
        )
    return weight
