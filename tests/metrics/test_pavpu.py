"""PAvPU against SciPy's t-test and counting in NumPy."""

import numpy as np
import pytest
from execution import array
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats

import keras_align
from keras_align.metrics import PAvPU
from keras_align.metrics.pavpu import p_values

pytestmark = pytest.mark.slow_on("jax")


def sampled(count=200, samples=20, classes=4, seed=0):
    """True classes, and sampled probabilities of classes that are hard to tell."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 0.7, (count, 1, classes))
    logits = logits + rng.normal(0.0, 0.8, (count, samples, classes))
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    return rng.integers(0, classes, count), probabilities.astype("float32")


def oracle(labels, probabilities, threshold=0.05):
    """Shares of the four groups, one sample at a time."""
    counts = np.zeros(4)
    for label, samples in zip(labels, probabilities.astype("float64"), strict=True):
        second, first = np.argsort(samples.mean(0))[-2:]
        test = stats.ttest_ind(samples[:, first], samples[:, second])
        counts[2 * (first != label) + (not test.pvalue < threshold)] += 1
    return counts / counts.sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.floats(1e-3, 10.0), st.floats(-3.0, 3.0))
def test_p_values_are_those_of_scipy(size, scale, shift):
    rng = np.random.default_rng(size)
    first = rng.normal(0.0, scale, (5, size)).astype("float32")
    second = rng.normal(shift * scale, scale, (5, size)).astype("float32")
    received = array(p_values(*map(ops.convert_to_tensor, (first, second))))
    expected = stats.ttest_ind(first.astype("float64"), second, axis=1).pvalue
    np.testing.assert_allclose(received, expected, atol=2e-6)


@pytest.mark.parametrize("samples", [2, 5, 20])
@pytest.mark.parametrize("threshold", [0.01, 0.05, 0.4])
def test_groups_are_those_of_the_oracle(samples, threshold):
    labels, probabilities = sampled(samples=samples)
    metric = PAvPU(threshold)
    metric.update_state(labels[:50], probabilities[:50])
    metric.update_state(labels[50:], probabilities[50:])
    expected = oracle(labels, probabilities, threshold)
    np.testing.assert_allclose(list(metric.shares().values()), expected, atol=0.006)
    assert float(metric.result()) == pytest.approx(expected[0] + expected[3], abs=0.006)
    assert min(expected) > 0.0  # every group is tested


def test_predictions_that_do_not_vary():
    equal = np.tile([0.4, 0.4, 0.2], (1, 5, 1))
    other = np.tile([0.5, 0.3, 0.2], (1, 5, 1))
    metric = PAvPU()
    metric.update_state([0, 1], np.concatenate([equal, other]))
    shares = metric.shares()
    assert shares["accurate_uncertain"] == shares["inaccurate_certain"] == 0.5


def test_logits_weights_and_one_hot_labels():
    labels, probabilities = sampled(40)
    metric = PAvPU(from_logits=True, ignore_class=3)
    kept = labels != 3
    metric.update_state(np.eye(4)[labels], np.log(probabilities))
    reference = PAvPU()
    reference.update_state(labels, probabilities, sample_weight=kept * 2.0)
    np.testing.assert_allclose(
        list(metric.shares().values()), list(reference.shares().values()), atol=1e-6
    )


def test_config_and_reset():
    metric = PAvPU(0.1, from_logits=True, name="mine", ignore_class=1)
    again = PAvPU.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    metric = PAvPU()
    metric.update_state(*sampled(10))
    metric.reset_state()
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 4), (3, 5, 1), (3, 5, 2, 4)])
def test_shapes_that_are_no_samples(shape):
    with pytest.raises(ValueError, match=r"\(B, S, C\)"):
        PAvPU().update_state([0, 1, 0], np.full(shape, 0.25))


def test_values_that_are_no_probabilities():
    with pytest.raises(ValueError, match="probabilities"):
        PAvPU().update_state([0], [[[3.0, -1.0], [2.0, 2.0]]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "`threshold`"),
        ({"threshold": 1.0}, "`threshold`"),
        ({"from_logits": "yes"}, "`from_logits`"),
        ({"ignore_class": True}, "`ignore_class`"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        keras_align.PAvPU(**options)
