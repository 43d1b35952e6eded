"""The temperature that a search over many finds, and what becomes of it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_align


def overconfident(count=400, classes=3, seed=0):
    draw = np.random.default_rng(seed)
    logits = draw.normal(0.0, 2.0, (count, classes))
    noise = draw.gumbel(size=logits.shape)
    return 3.0 * logits, (logits + noise).argmax(-1)


def likelihood(logits, labels, temperature):
    scaled = logits / temperature
    scaled = scaled - scaled.max(-1, keepdims=True)
    log = scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))
    return -log[np.arange(len(labels)), labels].mean()


def test_no_other_temperature_is_better():
    logits, labels = overconfident()
    scaling = keras_align.TemperatureScaling()
    scaling.fit(logits, labels)
    assert 2.5 < scaling.temperature < 3.5  # 3 in the limit of many samples
    best = likelihood(logits, labels, scaling.temperature)
    for factor in (0.97, 0.99, 1.01, 1.03):
        assert likelihood(logits, labels, factor * scaling.temperature) > best
    error = keras_align.ExpectedCalibrationError(from_logits=True)
    error.update_state(labels, logits)
    before = float(error.result())
    error.reset_state()
    error.update_state(labels, ops.convert_to_numpy(scaling(logits)))
    assert float(error.result()) < 0.5 * before


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_logit_of_two_classes(shape):
    logits, labels = overconfident(classes=2)
    two, one = keras_align.TemperatureScaling(), keras_align.TemperatureScaling()
    two.fit(logits, labels)
    one.fit((logits[:, 1] - logits[:, 0]).reshape(shape), labels)
    assert one.temperature == pytest.approx(two.temperature, rel=1e-4)


def test_one_hot_labels_and_weights():
    logits, labels = overconfident()
    first, second = keras_align.TemperatureScaling(), keras_align.TemperatureScaling()
    first.fit(logits[:100], labels[:100])
    weight = np.arange(400) < 100
    second.fit(logits, np.eye(3)[labels], sample_weight=weight.astype(float))
    assert first.temperature == pytest.approx(second.temperature, rel=1e-6)


@pytest.mark.parametrize(("labels", "expected"), [([0, 1], 0.01), ([1, 0], 100.0)])
def test_ends_of_the_range(labels, expected):
    scaling = keras_align.TemperatureScaling()
    with pytest.warns(UserWarning, match="an end of its range"):
        scaling.fit([[2.0, 0.0], [0.0, 2.0]], labels)
    assert scaling.temperature == pytest.approx(expected, rel=1e-3)


def test_saved_with_a_model(tmp_path):
    scaling = keras_align.TemperatureScaling()
    logits, labels = overconfident()
    scaling.fit(logits, labels)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, scaling(inputs))
    assert model.trainable_weights == []
    model.save(tmp_path / "scaled.keras")
    loaded = keras.saving.load_model(tmp_path / "scaled.keras")
    np.testing.assert_array_equal(loaded(logits), model(logits))
    np.testing.assert_allclose(model(logits), logits / scaling.temperature, rtol=1e-5)


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, np.nan]], [0]), "`logits` must be finite.*nan"),
        (([[1.0, 1e60]], [0]), "`logits` must be finite"),
        ((None, [0]), "`logits` must hold numbers.*None"),
        (([[1.0, 2.0], [1.0]], [0, 1]), "`logits` must hold numbers"),
        ((np.zeros((2, 3, 1)), np.zeros(6)), r"`logits`.*\(2, 3, 1\)"),
        ((np.zeros((0, 2)), []), "`logits`"),
        ((np.zeros((2, 3, 2)), [0, 1]), "`logits`"),
        (([[1.0, 0.0]], [2]), "`labels`"),
        (([[1.0, 0.0]], [0, 1]), "`labels`"),
        (([[1.0, 0.0]], [0.5]), "`labels`"),
        (([[1.0, 0.0]], [[0.7, 0.3]]), "`labels`"),
        (([[1.0, 0.0]], ["0"]), "`labels`"),
        (([[1.0, 0.0]], [0], [np.inf]), "`sample_weight`"),
        (([[1.0, 0.0]], [0], [-1.0]), "`sample_weight`"),
        (([[1.0, 0.0]], [0], [0.0]), "`sample_weight`"),
        (([[1.0, 0.0]], [0], ["a"]), "`sample_weight` must hold numbers"),
    ],
)
def test_wrong_arguments_change_nothing(arguments, message):
    scaling = keras_align.TemperatureScaling(2.0)
    with pytest.raises(ValueError, match=message):
        scaling.fit(*arguments)
    assert scaling.temperature == 2.0


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan, "1"])
def test_a_wrong_temperature(temperature):
    with pytest.raises(ValueError, match="`temperature`"):
        keras_align.TemperatureScaling(temperature)


def test_equal_logits_leave_the_temperature_at_one():
    scaling = keras_align.TemperatureScaling(3.0)
    scaling.fit(np.full((20, 3), 5.0), np.arange(20) % 3)
    assert scaling.temperature == 1.0
    other = keras_align.TemperatureScaling(3.0)
    other.fit([[1.0, 1.0], [1.0, 1.0], [3.0, 0.0]], [0, 1, 0], [1.0, 1.0, 0.0])
    assert other.temperature == 1.0
