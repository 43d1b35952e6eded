"""The answers of a classifier, and how right and how sure they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals
from keras_align.metrics.predictions import TOLERANCE

BINS = 10  # of confidence
SMALLEST = 1e-12  # probability whose logarithm is taken
_RESAMPLES, _ROWS = 1000, 50
JUDGED = ("accuracy", "nll", "brier")  # which have an interval of their change


@dataclass(frozen=True)
class Answers:
    """Probabilities of the classes of every sample.

    Attributes:
        probabilities: float array `(n, C)`.
        labels: int array `(n,)`.
    """

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """int array `(n,)`, the predicted ones."""
        return self.probabilities.argmax(-1)

    @property
    def confidence(self) -> np.ndarray:
        """float array `(n,)`, the probability of the predicted class."""
        return self.probabilities.max(-1)

    @property
    def correct(self) -> np.ndarray:
        """bool array `(n,)`."""
        return self.classes == self.labels


def answer(
    model: keras.Model,
    data_set: Any,
    batch_size: int,
    from_logits: bool | None,
) -> Answers:
    """Returns the `Answers` of a model to a `DataSet` with labels.

    Args:
        model: classifier with one output, `(B, C)`, or `(B, 1)` for two classes.
        data_set: `DataSet`.
        batch_size: int > 0.
        from_logits: bool, or `None`: what the outputs are is seen in them.
    """
    outputs = model.predict(data_set.inputs, batch_size=batch_size, verbose=0)
    if isinstance(outputs, dict | list | tuple):
        raise ValueError(
            "Argument `model` must have one output where data have labels. "
            f"Received: '{model.name}' with {len(outputs)}"
        )
    outputs = ops.convert_to_numpy(ops.cast(outputs, "float32")).astype("float64")
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    if outputs.ndim != 2:
        raise ValueError(
            "Argument `model` must return numbers of the shape (B, C) where data have "
            f"labels. Received: '{model.name}' with outputs {outputs.shape}"
        )
    infinite = int((~np.isfinite(outputs)).any(-1).sum())
    if infinite:
        raise ValueError(
            "Argument `model` must return finite numbers. Received: NaN or infinity "
            f"for {infinite} of {len(outputs)} samples of {data_set.title!r}"
        )
    probabilities = _probabilities(model, outputs, from_logits)
    if data_set.labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"Argument `data` must hold classes below {probabilities.shape[1]}, how "
            f"many '{model.name}' has. Received: {data_set.labels.max()} in "
            f"{data_set.title!r}"
        )
    return Answers(probabilities, data_set.labels)


def scores(answers: Answers, weights: np.ndarray | None = None) -> dict[str, Any]:
    """Accuracy, ECE, NLL and Brier score, of all samples or of resampled ones.

    Args:
        answers: `Answers` of n samples.
        weights: float array `(R, n)`, weights of the samples that sum to 1; `None`
            for equal ones.

    Returns:
        Dictionary from names to floats, or to arrays `(R,)`.
    """
    count = len(answers.labels)
    rows = np.full((1, count), 1.0 / count) if weights is None else weights
    terms = rows @ _terms(answers)  # (R, 3 + BINS)
    found = {
        "accuracy": terms[:, 0],
        "ece": np.abs(terms[:, 3:]).sum(-1),
        "nll": terms[:, 1],
        "brier": terms[:, 2],
    }
    if weights is None:
        return {name: float(values[0]) for name, values in found.items()}
    return found


def paired_intervals(
    before: Answers, after: Answers, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95% intervals of the change of scores, by bootstrap over the samples.

    Args:
        before: `Answers`.
        after: `Answers` to the same samples.
        seed: int, of the resampling.

    Returns:
        Dictionary from the names of scores to the limits. The calibration error has
        none: that of a sample is biased, of resampled ones twice.
    """
    random, count = np.random.default_rng(seed), len(before.labels)
    changes: dict[str, list[np.ndarray]] = {name: [] for name in JUDGED}
    for _ in range(_RESAMPLES // _ROWS):
        drawn = random.multinomial(count, np.full(count, 1.0 / count), _ROWS)
        old, new = (scores(each, drawn / count) for each in (before, after))
        for name, values in changes.items():
            values.append(new[name] - old[name])
    limits = {
        name: np.quantile(np.concatenate(values), (0.025, 0.975))
        for name, values in changes.items()
    }
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def in_bins(answers: Answers) -> Iterator[tuple[float, float, int, float, float]]:
    """Yields limits, samples, accuracy and mean confidence of the bins with samples."""
    bins = _bins(answers)
    for number in np.unique(bins):
        inside = bins == number
        accuracy, confidence = (
            float(np.mean(x[inside])) for x in (answers.correct, answers.confidence)
        )
        low, high = number / BINS, (number + 1) / BINS
        yield low, high, int(inside.sum()), accuracy, confidence


def _bins(answers):
    return (answers.confidence[:, None] > np.arange(1, BINS) / BINS).sum(-1)


def _terms(answers):
    """What the scores are means of, `(n, 3 + BINS)`: the gaps of a bin are its own."""
    rows = np.arange(len(answers.labels))
    of_label = answers.probabilities[rows, answers.labels]
    one_hot = np.eye(answers.probabilities.shape[1])[answers.labels]
    brier = np.square(answers.probabilities - one_hot).sum(-1)
    gap = answers.correct - answers.confidence
    bins = np.eye(BINS)[_bins(answers)]
    nll = -np.log(np.maximum(of_label, SMALLEST))
    columns = answers.correct[:, None], nll[:, None], brier[:, None]
    return np.concatenate([*columns, bins * gap[:, None]], axis=1)


def _probabilities(model, outputs, from_logits):
    if from_logits is None:
        from_logits = _are_logits(model, outputs)
    if outputs.shape[1] == 1:
        one = 1.0 / (1.0 + np.exp(-outputs.clip(-700, 700))) if from_logits else outputs
        outputs = np.concatenate([1.0 - one, one], axis=1)
    elif from_logits:
        shifted = np.exp(outputs - outputs.max(-1, keepdims=True))
        outputs = shifted / shifted.sum(-1, keepdims=True)
    if not _sum_to_one(outputs):
        raise ValueError(
            "Argument `from_logits` must be True where outputs are no probabilities. "
            f"Received: from_logits={from_logits} for '{model.name}'"
        )
    return outputs


def _activation(model):
    try:
        return keras_internals.last_activation(model)
    except (AttributeError, ValueError, IndexError):  # no functional model
        return None


def _sum_to_one(outputs):
    sums = np.abs(outputs.sum(-1) - 1.0).max() <= TOLERANCE
    return sums and outputs.min() >= -TOLERANCE and outputs.max() <= 1.0 + TOLERANCE


def _are_logits(model, outputs):
    """Several classes show it in their sums; one output in its activation alone."""
    activation = _activation(model)
    if outputs.shape[1] > 1 and activation is keras.activations.sigmoid:
        raise ValueError(
            "Argument `model` must be a classifier of classes that exclude each other, "
            f"or of two by one output. Received: '{model.name}' with "
            f"{outputs.shape[1]} sigmoid outputs"
        )
    if outputs.shape[1] > 1:
        return not _sum_to_one(outputs)
    if outputs.min() < 0.0 or outputs.max() > 1.0:
        return True
    if activation not in (keras.activations.sigmoid, keras.activations.linear):
        raise ValueError(
            "Argument `from_logits` must be a bool for one output between 0 and 1 "
            "whose activation is neither sigmoid nor linear. Received: "
            f"from_logits=None for '{model.name}'"
        )
    return activation is not keras.activations.sigmoid
