"""Scores of answers against Keras's losses and our metric; intervals of changes."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_align
from keras_align.reports import answers, data_sets


def some_answers(count=400, classes=3, sharpness=1.0, seed=0):
    random = np.random.default_rng(seed)
    logits = sharpness * random.normal(size=(count, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return answers.Answers(probabilities, random.integers(0, classes, count))


def test_scores_are_those_of_keras_and_of_the_metric():
    found = some_answers()
    scores = answers.scores(found)
    metric = keras_align.ExpectedCalibrationError(num_bins=answers.BINS)
    metric.update_state(found.labels, found.probabilities.astype("float32"))
    entropy = keras.losses.sparse_categorical_crossentropy(
        found.labels, found.probabilities.astype("float32")
    )
    one_hot = np.eye(3)[found.labels]
    expected = {
        "accuracy": np.mean(found.probabilities.argmax(-1) == found.labels),
        "ece": float(metric.result()),
        "nll": float(ops.mean(entropy)),
        "brier": np.mean(np.sum((found.probabilities - one_hot) ** 2, -1)),
    }
    assert scores == pytest.approx(expected, rel=1e-5)


def test_weights_are_those_of_repeated_samples():
    found = some_answers(count=6)
    drawn = np.array([0, 0, 3, 3, 3, 5])
    weights = np.bincount(drawn, minlength=6)[None] / 6
    again = answers.Answers(found.probabilities[drawn], found.labels[drawn])
    weighted = {name: x[0] for name, x in answers.scores(found, weights).items()}
    assert weighted == pytest.approx(answers.scores(again))


def test_equal_answers_have_no_change():
    found = some_answers()
    limits = answers.paired_intervals(found, found)
    assert limits == dict.fromkeys(answers.JUDGED, (0.0, 0.0))


def test_intervals_have_the_width_of_the_normal_approximation():
    before, after = some_answers(seed=1), some_answers(seed=2)
    after = answers.Answers(after.probabilities, before.labels)
    gains = after.correct.astype(float) - before.correct
    half = 1.96 * gains.std() / len(gains) ** 0.5
    low, high = answers.paired_intervals(before, after)["accuracy"]
    assert (low + high) / 2 == pytest.approx(gains.mean(), abs=0.15 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_bins_are_those_of_the_metric():
    found = some_answers(sharpness=2.0)
    metric = keras_align.ExpectedCalibrationError(num_bins=answers.BINS)
    metric.update_state(found.labels, found.probabilities.astype("float32"))
    expected = {name: np.array(x) for name, x in metric.reliability().items()}
    filled = expected["share"] > 0
    bins = list(answers.in_bins(found))
    assert [round(10 * low) for low, *_ in bins] == list(np.flatnonzero(filled))
    for column, name in ((2, "share"), (3, "accuracy"), (4, "confidence")):
        values = np.array([each[column] for each in bins], float)
        values = values / len(found.labels) if name == "share" else values
        np.testing.assert_allclose(values, expected[name][filled], rtol=1e-5)


def classifier(units, activation=None):
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(units, activation=activation)(inputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    "units, activation, probabilities",
    [
        (3, None, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        (3, "softmax", lambda x: x),
        (1, None, lambda x: np.concatenate([1 - sigmoid(x), sigmoid(x)], -1)),
        (1, "sigmoid", lambda x: np.concatenate([1 - x, x], -1)),
    ],
)
def test_what_outputs_are_is_seen(units, activation, probabilities):
    model = classifier(units, activation)
    inputs = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    (data,) = data_sets.read((inputs, np.zeros(10, int)))
    found = answers.answer(model, data, 32, None)
    expected = probabilities(model.predict(inputs, verbose=0).astype("float64"))
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    "model, labels, from_logits, message",
    [
        (classifier(2), [0, 2], None, "below 2"),
        (classifier(2), [0, 1], False, "must be True where outputs are no"),
        (classifier(3, "sigmoid"), [0, 1], None, "3 sigmoid outputs"),
        (classifier(1, "hard_sigmoid"), [0, 1], None, "neither sigmoid nor linear"),
        (
            keras.Model(x := keras.Input((4,)), {"a": x, "b": x}),
            [0, 1],
            None,
            "one output",
        ),
        (
            keras.Model(x := keras.Input((4,)), keras.layers.Reshape((2, 2))(x)),
            [0, 1],
            None,
            r"shape \(B, C\)",
        ),
    ],
)
def test_outputs_that_do_not_fit_are_refused(model, labels, from_logits, message):
    inputs = 3 * np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    (data,) = data_sets.read((inputs, np.array(labels)))
    with pytest.raises(ValueError, match=message):
        answers.answer(model, data, 32, from_logits)
