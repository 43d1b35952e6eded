"""Weights of samples and masks of tokens in `ExpectedCalibrationError`."""

import keras
import numpy as np
import pytest
from calibration_oracle import measure, random_predictions
from execution import QUICK_JIT

from keras_align.metrics import ExpectedCalibrationError

pytestmark = pytest.mark.slow_on("jax")


def test_weights_act_like_repetitions():
    labels, probabilities = random_predictions(50)
    repeats = np.random.default_rng(3).integers(0, 4, 50)
    expected = measure(
        np.repeat(labels, repeats), np.repeat(probabilities, repeats, axis=0)
    )
    assert measure(labels, probabilities, repeats) == pytest.approx(expected, rel=1e-5)
    column = repeats[:, None]
    assert measure(labels, probabilities, column) == pytest.approx(expected, rel=1e-5)
    assert measure(labels, probabilities, 2.0) == pytest.approx(
        measure(labels, probabilities), rel=1e-6
    )


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    labels, probabilities = random_predictions(2)
    with pytest.raises(ValueError, match=r"`sample_weight` must.*sample_weight\[1\]="):
        measure(labels, probabilities, [1.0, weight])


@pytest.mark.parametrize("shape", [(5,), (6, 3), (2, 3)])
def test_weights_of_another_shape_are_refused(shape):
    labels, probabilities = random_predictions(6)
    with pytest.raises(ValueError, match="`sample_weight` must have one weight"):
        measure(labels, probabilities, np.ones(shape))


@pytest.mark.parametrize("tokens", [2, 3])
def test_a_weight_for_each_row_counts_for_all_its_samples(tokens):
    """As in Keras's own metrics, also where there are as many rows as columns."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, tokens))
    scores = rng.dirichlet(np.ones(3), (2, tokens)).astype("float32")
    rows = np.float32([1.0, 0.0])
    each = np.repeat(rows[:, None], tokens, axis=1)
    assert measure(labels, scores, rows) == measure(labels, scores, each)
    assert measure(labels, scores, rows) == measure(labels[:1], scores[:1])


def test_padding_that_keras_masks_does_not_count():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (10, 6))
    ids[:, 2:] = 0
    labels = rng.integers(0, 3, (10, 6))
    inputs = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    metrics = ["accuracy", ExpectedCalibrationError(name="ece")]
    loss = "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=metrics, jit_compile=QUICK_JIT)
    received = model.evaluate(ids, labels, verbose=0, return_dict=True)
    scores = model.predict(ids, verbose=0)
    assert received["ece"] == pytest.approx(
        float(measure(labels[:, :2], scores[:, :2])), abs=1e-5
    )
