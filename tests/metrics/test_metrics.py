"""ExpectedCalibrationError against a float64 oracle, and as a Keras metric."""

import keras
import numpy as np
import pytest
from calibration_oracle import measure, oracle, random_predictions
from execution import BACKEND, JIT, QUICK_JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_align.metrics import ExpectedCalibrationError

pytestmark = pytest.mark.slow_on("jax")

# Without subnormal numbers, which some processors are set to take for 0.
FRACTIONS = st.floats(0, 1, width=32, allow_subnormal=False)


@st.composite
def predictions(draw):
    count = draw(st.integers(1, 30))
    classes = draw(st.integers(2, 5))
    scores = draw(hnp.arrays("float32", (count, classes), elements=FRACTIONS))
    scores = (scores + np.float32(1e-3)) / (scores + np.float32(1e-3)).sum(-1)[:, None]
    labels = draw(hnp.arrays("int32", (count,), elements=st.integers(0, classes - 1)))
    weights = draw(hnp.arrays("float32", (count,), elements=st.sampled_from([0, 1, 3])))
    return labels, scores, weights, draw(st.integers(1, 20))


@settings(max_examples=10 if BACKEND == "jax" else 30, deadline=None)
@given(predictions())
def test_equals_oracle(drawn):
    labels, scores, weights, num_bins = drawn
    expected = oracle(labels, scores, num_bins, weights)
    received = measure(labels, scores, weights, num_bins=num_bins)
    assert received == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("num_bins", [1, 2, 10, 15])
def test_many_predictions(num_bins):
    labels, probabilities = random_predictions(2000, 4)
    expected = oracle(labels, probabilities, num_bins)
    assert measure(labels, probabilities, num_bins=num_bins) == pytest.approx(
        expected, rel=1e-5
    )


def test_by_hand():
    # Two bins: (0.6, 0.7] holds one hit of two, (0.8, 0.9] two of two.
    probabilities = [[0.65, 0.35], [0.35, 0.65], [0.15, 0.85], [0.85, 0.15]]
    expected = (2 * abs(0.5 - 0.65) + 2 * abs(1.0 - 0.85)) / 4
    assert measure([0, 0, 1, 0], probabilities) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("num_bins", [4, 5, 10])
def test_border_belongs_to_the_bin_below(num_bins):
    borders = np.float32([m / num_bins for m in range(1, num_bins)])
    above = np.nextafter(borders, np.float32(2))
    for confidence, expected in ((borders, 0), (above, 1)):
        metric = ExpectedCalibrationError(num_bins)
        # As many classes as make the first the most probable one.
        rest = (1 - confidence[:, None]) / 9
        y_pred = np.concatenate([confidence[:, None], np.repeat(rest, 9, 1)], -1)
        metric.update_state(np.zeros(num_bins - 1), y_pred)
        share = keras.ops.convert_to_numpy(metric.reliability()["share"])
        assert (share > 0).tolist() == [
            expected <= m < num_bins - 1 + expected for m in range(num_bins)
        ]


def test_lowest_and_highest_confidence():
    assert measure([0, 1], [[0.5, 0.5], [0.5, 0.5]]) == pytest.approx(0.0)
    assert measure([0, 1], [[1.0, 0.0], [0.0, 1.0]]) == 0.0
    assert measure([1, 0], [[1.0, 0.0], [0.0, 1.0]]) == 1.0


def test_no_data_and_no_weight():
    assert float(ExpectedCalibrationError().result()) == 0.0
    assert measure([0], [[0.9, 0.1]], weights=[0.0]) == 0.0


def test_forms_of_labels_agree():
    labels, probabilities = random_predictions()
    expected = measure(labels, probabilities)
    one_hot = np.eye(3, dtype="float32")[labels]
    assert measure(labels[:, None], probabilities) == expected
    assert measure(labels.astype("float32"), probabilities) == expected
    assert measure(one_hot, probabilities) == expected
    by_token = probabilities.reshape(20, 10, 3)
    assert measure(labels.reshape(20, 10), by_token) == pytest.approx(expected)
    assert measure(one_hot.reshape(20, 10, 3), by_token) == pytest.approx(expected)


def test_sigmoid_equals_softmax_over_two_classes():
    rng = np.random.default_rng(1)
    probability = rng.random(300).astype("float32")
    labels = rng.integers(0, 2, 300)
    expected = oracle(labels, np.stack([1 - probability, probability], -1))
    for y_pred in (probability, probability[:, None]):
        for y_true in (labels, labels[:, None]):
            assert measure(y_true, y_pred) == pytest.approx(expected, rel=1e-5)


def test_logits():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(100, 3)).astype("float32")
    labels = rng.integers(0, 3, 100)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    received = measure(labels, logits, from_logits=True)
    assert received == pytest.approx(oracle(labels, probabilities), rel=1e-4)
    probability = 1 / (1 + np.exp(-logits[:, :1]))
    received = measure(labels % 2, logits[:, :1], from_logits=True)
    pairs = np.concatenate([1 - probability, probability], -1)
    assert received == pytest.approx(oracle(labels % 2, pairs), rel=1e-4)


def test_half_precision_predictions_are_binned_in_float32():
    labels, probabilities = random_predictions(3000, 2)
    half = probabilities.astype("float16")
    expected = oracle(labels, half.astype("float32"))
    assert measure(labels, half) == pytest.approx(expected, rel=1e-5)


def test_batches_add_up_and_reset():
    labels, probabilities = random_predictions(101)
    metric = ExpectedCalibrationError()
    for begin in range(0, 101, 17):
        part = slice(begin, begin + 17)
        metric.update_state(labels[part], probabilities[part])
    expected = measure(labels, probabilities)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0.0
    metric.update_state(labels, probabilities)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_reliability_adds_up_to_the_error():
    labels, probabilities = random_predictions(300)
    metric = ExpectedCalibrationError(7)
    metric.update_state(labels, probabilities)
    bins = {k: keras.ops.convert_to_numpy(v) for k, v in metric.reliability().items()}
    assert all(values.shape == (7,) for values in bins.values())
    assert bins["share"].sum() == pytest.approx(1.0)
    gaps = bins["share"] * np.abs(bins["accuracy"] - bins["confidence"])
    assert gaps.sum() == pytest.approx(float(metric.result()), rel=1e-5)


@pytest.mark.parametrize(
    "jit_compile, single_output", [(JIT, False), (QUICK_JIT, True)]
)
def test_in_compile(jit_compile, single_output):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(70, 5)).astype("float32")
    y = rng.integers(0, 2, 70)
    units, activation = (1, "sigmoid") if single_output else (2, "softmax")
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(units, activation)])
    loss = "binary" if single_output else "sparse_categorical"
    model.compile(
        optimizer="sgd",
        loss=f"{loss}_crossentropy",
        metrics=[ExpectedCalibrationError()],
        weighted_metrics=[ExpectedCalibrationError(name="weighted")],
        jit_compile=jit_compile,
    )
    weights = rng.integers(1, 3, 70).astype("float32")
    model.fit(x, y, sample_weight=weights, batch_size=32, verbose=0)
    logs = model.evaluate(
        x, y, sample_weight=weights, batch_size=32, verbose=0, return_dict=True
    )
    probabilities = model.predict(x, verbose=0)
    if single_output:
        probabilities = np.concatenate([1 - probabilities, probabilities], -1)
    assert logs["expected_calibration_error"] == pytest.approx(
        oracle(y, probabilities), rel=1e-4
    )
    assert logs["weighted"] == pytest.approx(
        oracle(y, probabilities, weights=weights), rel=1e-4
    )


def test_serialisation():
    dtype = "float32" if BACKEND == "jax" else "float64"
    metric = ExpectedCalibrationError(
        7, from_logits=True, name="ece", dtype=dtype, ignore_class=-1
    )
    config = keras.metrics.serialize(metric)
    again = keras.metrics.deserialize(config)
    assert isinstance(again, ExpectedCalibrationError)
    assert again.get_config() == metric.get_config()
    assert (again.num_bins, again.from_logits, again.name) == (7, True, "ece")
    assert again.ignore_class == -1
    assert again.dtype == dtype
    labels, logits = random_predictions()
    metric.update_state(labels, logits)
    again.update_state(labels, logits)
    assert float(metric.result()) == float(again.result())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_survives_a_saved_model(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    model.compile(
        loss="sparse_categorical_crossentropy",
        metrics=[ExpectedCalibrationError(5)],
        jit_compile=QUICK_JIT,
    )
    x, y = np.eye(3, dtype="float32"), np.array([0, 1, 0])
    model.fit(x, y, verbose=0)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected)


@pytest.mark.parametrize("num_bins", [0, -1, 2.5, "10", True, None])
def test_wrong_num_bins(num_bins):
    with pytest.raises(ValueError, match="`num_bins` must be a positive integer"):
        ExpectedCalibrationError(num_bins)


def test_wrong_from_logits():
    with pytest.raises(ValueError, match=r"`from_logits` must be a bool.*'yes'"):
        ExpectedCalibrationError(from_logits="yes")


@pytest.mark.parametrize(
    "true_shape, pred_shape",
    [((4,), (5, 3)), ((4, 2), (4, 3)), ((4, 3), (4, 1)), ((4, 3, 3), (4, 3)), ((), ())],
)
def test_wrong_shapes(true_shape, pred_shape):
    with pytest.raises(ValueError, match=r"`y_true` must hold.*y_pred.shape="):
        measure(np.zeros(true_shape, "int32"), np.zeros(pred_shape, "float32"))
