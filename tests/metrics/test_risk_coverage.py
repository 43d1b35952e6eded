"""RiskCoverage against sorting in NumPy and an integral of SciPy."""

import keras
import numpy as np
import pytest
from calibration_oracle import random_predictions
from execution import QUICK_JIT, compiled
from scipy import integrate

import keras_align
from keras_align.metrics import RiskCoverage

pytestmark = pytest.mark.slow_on("jax")


def measured(labels, probabilities, weights=None, **options):
    metric = RiskCoverage(**options)
    metric.update_state(labels, probabilities, sample_weight=weights)
    return float(metric.result())


def calibrated(count=3000, classes=4, seed=0):
    """Predictions whose confidence is their accuracy."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), count).astype("float32")
    best = probabilities.argmax(-1)
    right = rng.random(count) < probabilities.max(-1)
    return np.where(right, best, (best + 1) % classes), probabilities


def risks(labels, probabilities):
    """Risk after every sample, in the order of confidence, in float64."""
    order = np.argsort(-probabilities.max(-1), kind="stable")
    wrong = (probabilities.argmax(-1) != labels)[order]
    return np.cumsum(wrong) / np.arange(1, len(labels) + 1)


def test_area_is_the_mean_risk_over_all_coverages():
    labels, probabilities = calibrated()
    expected = np.mean(risks(labels, probabilities))
    assert measured(labels, probabilities) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.1, 0.3])
def test_coverage_is_the_largest_share_at_the_risk(risk):
    labels, probabilities = calibrated()
    of_prefix = risks(labels, probabilities)
    expected = (np.flatnonzero(of_prefix <= risk).max() + 1) / len(labels)
    received = measured(labels, probabilities, risk=risk)
    assert expected - 5e-3 <= received <= expected + 1e-6


def test_samples_of_one_bin_stand_in_random_order():
    # Three bins: 4 samples of which 1 is wrong, 6 with 4, 2 with 2.
    sizes, wrong, confidences = [4, 6, 2], [1, 4, 2], [0.9, 0.8, 0.6]
    labels, rows = [], []
    for size, errors, confidence in zip(sizes, wrong, confidences, strict=True):
        labels += [1] * errors + [0] * (size - errors)
        rows += [[confidence, 1.0 - confidence]] * size

    def risk(answered):
        bounds, errors = np.cumsum([0, *sizes]), np.cumsum([0, *wrong])
        return np.interp(answered, bounds, errors) / answered

    integral, _ = integrate.quad(risk, 1e-9, 12, points=[4, 10])
    assert measured(labels, rows) == pytest.approx(integral / 12, rel=1e-5)


def test_without_any_order_the_area_is_the_error_rate():
    labels = np.arange(20) % 4 == 0
    rows = np.tile([0.7, 0.3], (20, 1))
    assert measured(labels, rows) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong(right):
    _, probabilities = random_predictions(50, 3)
    labels = (probabilities.argmax(-1) + (not right)) % 3
    assert measured(labels, probabilities) == pytest.approx(float(not right))
    assert measured(labels, probabilities, risk=0.05) == float(right)


def test_confidences_near_one_are_told_apart():
    confidences = 1.0 - np.float32([1e-6, 1e-5, 1e-4, 1e-3])
    rows = np.stack([confidences, 1.0 - confidences], axis=1)
    metric = RiskCoverage()
    metric.update_state([0, 0, 1, 1], rows)
    coverage, risk = metric.curve()
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0.0, 0.0, 1 / 3, 0.5])


def test_batches_weights_and_classes_to_ignore():
    labels, probabilities = calibrated(60)
    weights = np.arange(60) % 3
    expected = measured(
        np.repeat(labels, weights), np.repeat(probabilities, weights, 0)
    )
    metric = RiskCoverage(ignore_class=-1)
    for part in (slice(0, 7), slice(7, 60)):
        metric.update_state(labels[part], probabilities[part], weights[part])
    metric.update_state([-1], [[0.0, 0.0, 0.0, 1.0]])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0.0
    assert float(RiskCoverage(risk=0.1).result()) == 0.0


def test_logits_and_one_output():
    labels, probabilities = random_predictions(40, 2)
    expected = measured(labels, probabilities)
    logits = np.log(probabilities + 1e-9)
    assert measured(labels, logits, from_logits=True) == pytest.approx(
        expected, abs=2e-3
    )
    assert measured(labels, probabilities[:, 1:]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("risk", [None, 0.2])
def test_as_a_metric_of_a_model(risk):
    labels, _ = random_predictions(32, 3)
    features = np.random.default_rng(1).standard_normal((32, 5)).astype("float32")
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = RiskCoverage(risk, from_logits=True, name="metric")
    model.compile("sgd", loss, metrics=[metric], jit_compile=QUICK_JIT)
    model.fit(features, labels, batch_size=8, verbose=0)
    logged = model.evaluate(features, labels, batch_size=8, verbose=0, return_dict=True)
    logits = model.predict(features, verbose=0)
    expected = measured(labels, logits, risk=risk, from_logits=True)
    assert logged["metric"] == pytest.approx(expected, rel=1e-5)


def test_invalid_values_are_seen():
    with pytest.raises(ValueError, match="probabilities"):
        measured([0], [[3.0, -2.0]])


@pytest.mark.backends("tensorflow", "jax")
def test_invalid_values_in_a_traced_function_make_the_result_nan():
    metric = RiskCoverage()

    def update(labels, y_pred):
        state = metric.stateless_update_state(
            [v.value for v in metric.variables], labels, y_pred
        )
        return metric.stateless_result(state)

    received = compiled(update)(np.array([0, 0]), np.float32([[3.0, -2], [0.9, 0.1]]))
    assert np.isnan(float(received))


def test_config_and_names():
    metric = RiskCoverage(0.1, 50, from_logits=True, ignore_class=2)
    again = RiskCoverage.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    assert (again.name, RiskCoverage().name) == (
        "coverage_at_risk",
        "area_under_risk_coverage",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": 1.0}, "`risk`"),
        ({"risk": -0.1}, "`risk`"),
        ({"num_bins": 0}, "`num_bins`"),
        ({"from_logits": 1}, "`from_logits`"),
        ({"ignore_class": 0.5}, "`ignore_class`"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        keras_align.RiskCoverage(**options)


@pytest.mark.parametrize(("wrong", "count"), [(53, 100), (63, 300), (47, 100)])
def test_a_risk_is_met_that_is_equal_to_the_error_rate(wrong, count):
    metric = RiskCoverage(risk=wrong / count)
    truth = [1] * wrong + [0] * (count - wrong)
    metric.update_state(truth, np.tile([[0.9, 0.1]], (count, 1)))
    assert float(metric.result()) == 1.0


@pytest.mark.backends("tensorflow")  # Keras's segment_sum on PyTorch has float32
def test_sums_are_kept_in_float64():
    metric = RiskCoverage(dtype="float64")
    weight = np.float64(1.0) + 1e-12
    metric.update_state([0], [[0.9, 0.1]], np.array([weight]))
    assert float(keras.ops.sum(metric.bin_weights)) == weight
