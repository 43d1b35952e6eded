"""Numbers that float32 or int32 cannot hold are refused as every wrong one is."""

import numpy as np
import pytest

import keras_align
from keras_align import divergences
from keras_align.validation import checks

HUGE = 10**400


def short(value):
    """The name of a test: Python does not write integers of 4,300 digits."""
    return f"{value.bit_length()} bits" if isinstance(value, int) else repr(value)


X = np.ones((1, 2, 1, 2), "float32")


@pytest.mark.parametrize("check", [checks.positive, checks.not_negative])
@pytest.mark.parametrize(
    "wrong",
    [HUGE, -HUGE, 10**5000, 10**39, 1e39, float("inf"), float("nan"), "1"],
    ids=short,
)
def test_numbers(check, wrong):
    with pytest.raises(ValueError, match=r"Argument `x` must be .* Received: x="):
        check("x", wrong)


def test_numbers_that_fit():
    for number in (1, 0.5, 1e38, 10**38, np.float32(2.0), np.int64(3)):
        checks.positive("x", number)
        checks.not_negative("x", number)
    checks.not_negative("x", 0)
    checks.positive_integer("x", 2**31 - 1)
    checks.count("x", 2**40)  # a seed


@pytest.mark.parametrize("wrong", [HUGE, 2**31, -HUGE, 0, True, 1.0], ids=short)
def test_positive_integers(wrong):
    with pytest.raises(ValueError, match=r"`x` must be a positive integer below 2"):
        checks.positive_integer("x", wrong)


@pytest.mark.parametrize("wrong", [HUGE, 10**5000, -1, 1.5], ids=short)
def test_fractions(wrong):
    with pytest.raises(ValueError, match=r"`x` must be in \[0, 1\]. Received: x="):
        checks.fraction("x", wrong)


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("epsilon", lambda x: divergences.optimal_transport(X, X, epsilon=x)),
        (
            "max_iterations",
            lambda x: divergences.optimal_transport(X, X, max_iterations=x),
        ),
        (
            "bandwidth",
            lambda x: divergences.maximum_mean_discrepancy(X, X, bandwidth=x),
        ),
        ("epsilon", lambda x: keras_align.OptimalTransportAlignment(epsilon=x)),
        (
            "bandwidth",
            lambda x: keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=x),
        ),
        ("hidden_dim", lambda x: keras_align.AdversarialAlignment(hidden_dim=x)),
        (
            "learning_rate_multiplier",
            lambda x: keras_align.AdversarialAlignment(learning_rate_multiplier=x),
        ),
        (
            "alignment_weight",
            lambda x: keras_align.AlignedMultiHeadAttention(2, 4, alignment_weight=x),
        ),
    ],
)
def test_arguments(argument, make):
    with pytest.raises(ValueError, match=f"Argument `{argument}` must be"):
        make(HUGE)


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("bandwidth", [1e-200, 1e-20, 1e20, 1e38])
def test_any_bandwidth_is_finite(bandwidth):
    value = divergences.maximum_mean_discrepancy(X, X + 1.0, bandwidth=bandwidth)
    assert 0.0 <= float(value[0, 0]) <= 2.0
