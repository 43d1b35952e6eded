"""Cases of the divergences that are known on paper, and their arguments."""

import math

import numpy as np
import pytest
from keras import ops

from keras_align import divergences

pytestmark = pytest.mark.slow_on("jax")


def some_samples(length=6, batch=2, heads=2, size=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, length, heads, size)).astype("float32")


def test_undecided_discriminator_is_minus_two_log_two():
    value = divergences.adversarial(np.zeros((2, 5, 3)), np.zeros((2, 4, 3)))
    np.testing.assert_allclose(value, -2.0 * math.log(2.0), rtol=1e-6)


MMD = divergences.maximum_mean_discrepancy


@pytest.mark.parametrize(
    ("function", "shapes", "masks", "message"),
    [
        (MMD, [(2, 5, 3, 4), (1, 5, 3, 4)], {}, r"`query` and `key`.*\(1, 5, 3, 4\)"),
        (MMD, [(2, 5, 3, 4), (2, 5, 3, 8)], {}, r"`query` and `key`.*\(2, 5, 3, 8\)"),
        (MMD, [(2, 5, 4), (2, 5, 3, 4)], {}, r"`query` and `key`.*\(2, 5, 4\)"),
        (
            divergences.optimal_transport,
            [(2, 5, 1, 4), (2, 5, 3, 4)],
            {"cost": "sqeuclidean"},
            r"`query` and `key`",
        ),
        (
            MMD,
            [(2, 5, 3, 4), (2, 6, 3, 4)],
            {"key_mask": np.ones((2, 5), bool)},
            r"`key_mask`.*\(2, 6\).*Received: key_mask of shape \(2, 5\)",
        ),
        (
            MMD,
            [(2, 5, 3, 4), (2, 6, 3, 4)],
            {"key_mask": np.zeros((2, 6), "float32")},  # 0 and -1e9, to be added
            "`key_mask` must be boolean.*Received: key_mask of dtype float32",
        ),
        (
            divergences.adversarial,
            [(2, 5, 3), (2, 6, 3)],
            {"query_mask": np.ones((2, 5, 3), bool)},
            "`query_mask`",
        ),
        (divergences.confusion, [(2, 5), (2, 5)], {}, "`query_logits`"),
        (divergences.adversarial, [(2, 5, 3, 1)] * 2, {}, r"\(B, T, N\) and"),
        (MMD, [(2, 5, 3)] * 2, {}, r"`query` .*\(B, T, N, H\).*\(2, 5, 3\)"),
        (MMD, [(2, 5, 3, 4, 1)] * 2, {}, r"`query` .*\(B, T, N, H\)"),
        (divergences.optimal_transport, [(2, 5, 3)] * 2, {}, r"\(B, T, N, H\)"),
        (divergences.conditional_transport, [(2, 5, 3)] * 4, {}, "`query_critic` and"),
        (
            divergences.conditional_transport,
            [(2, 5, 3, 4), (2, 6, 3, 4), (2, 5, 3, 2), (2, 6, 3, 3)],
            {},
            "`query_navigator` and `key_navigator`",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(function, shapes, masks, message):
    with pytest.raises(ValueError, match=message):
        function(*(np.ones(shape, "float32") for shape in shapes), **masks)


def test_lists_are_no_tensors():
    with pytest.raises(ValueError, match="`query` must be a tensor. Received: query="):
        MMD([[1.0]], np.ones((1, 1, 1, 1)))


def test_confusion_is_least_where_the_discriminator_guesses():
    guessing = divergences.confusion(np.zeros((2, 5, 3)), np.zeros((2, 4, 3)))
    np.testing.assert_allclose(guessing, 2.0 * math.log(2.0), rtol=1e-6)
    sure = divergences.confusion(np.full((2, 5, 3), 3.0), np.full((2, 4, 3), -3.0))
    np.testing.assert_array_less(guessing, sure)


def test_best_discriminator_gives_jensen_shannon():
    """Two coins of 1/4 and 3/4, eight tokens each: `L + 2 log 2 = 2 JS`."""
    faces_q, faces_k = np.array([1, 1, 0, 0, 0, 0, 0, 0]), np.array([1] * 6 + [0] * 2)
    p, q = np.array([0.75, 0.25]), np.array([0.25, 0.75])
    log_ratio = np.log(p / q)
    mixture = (p + q) / 2.0
    twice_js = np.sum(p * np.log(p / mixture) + q * np.log(q / mixture))
    value = divergences.adversarial(
        log_ratio[faces_q][None, :, None], log_ratio[faces_k][None, :, None]
    )
    np.testing.assert_allclose(value + 2.0 * math.log(2.0), twice_js, rtol=1e-5)


def test_transport_of_an_indifferent_navigator_is_the_mean_cost():
    u_query, u_key = some_samples(), some_samples(5, seed=1)
    unit_q = u_query / np.linalg.norm(u_query, axis=-1, keepdims=True)
    unit_k = u_key / np.linalg.norm(u_key, axis=-1, keepdims=True)
    cost = 1.0 - np.einsum("btnh,bsnh->bnts", unit_q, unit_k)
    indifferent = np.zeros((2, 6, 2, 1)), np.zeros((2, 5, 2, 1))
    for rho in (0.0, 0.3, 1.0):
        value = divergences.conditional_transport(u_query, u_key, *indifferent, rho=rho)
        np.testing.assert_allclose(value, cost.mean((2, 3)), rtol=1e-5)


def test_transport_of_a_sharp_navigator_is_the_nearest_cost():
    """A navigator that knows the partner of each token gives that partner's cost."""
    samples = some_samples(4, size=4)
    partners = 40.0 * np.tile(np.eye(4)[None, :, None], (2, 1, 2, 1))
    same = divergences.conditional_transport(samples, samples, partners, partners)
    away = divergences.conditional_transport(samples, -samples, partners, partners)
    np.testing.assert_allclose(same, 0.0, atol=1e-6)
    np.testing.assert_allclose(away, 2.0, rtol=1e-6)


def test_both_directions_weigh_the_same_by_default():
    u_q, u_k, t_q, t_k = (some_samples(5, seed=seed) for seed in range(4))
    there = divergences.conditional_transport(u_q, u_k, t_q, t_k)
    back = divergences.conditional_transport(u_k, u_q, t_k, t_q)
    np.testing.assert_allclose(there, back, rtol=1e-5)


def test_optimal_transport_of_permuted_samples_is_nearly_free():
    samples = some_samples(8, size=16)
    value = divergences.optimal_transport(samples, samples[:, ::-1], epsilon=0.005)
    assert float(ops.max(value)) < 1e-3


def test_optimal_transport_of_translated_samples():
    """Squared Euclidean cost: equal shapes at a distance d cost d squared."""
    samples = some_samples(6)
    moved = samples + np.float32([3.0, 0.0, 0.0, 4.0])
    value = divergences.optimal_transport(
        samples, moved, cost="sqeuclidean", epsilon=0.01, max_iterations=2000
    )
    np.testing.assert_allclose(value, 25.0, rtol=1e-3)


def test_discrepancy_of_two_points():
    """One token each at distance d: `2 - 2 exp(-d^2 / (2 s^2))`, biased or not."""
    query, key = np.zeros((1, 1, 1, 2)), np.array([3.0, 4.0]).reshape(1, 1, 1, 2)
    for unbiased in (False, True):
        value = divergences.maximum_mean_discrepancy(
            query, key, bandwidth=5.0, unbiased=unbiased
        )
        np.testing.assert_allclose(value, 2.0 - 2.0 * math.exp(-0.5), rtol=1e-6)


def test_discrepancy_of_equal_samples_is_zero():
    samples = some_samples() + 1000.0  # far from the origin, where float32 is coarse
    value = divergences.maximum_mean_discrepancy(samples, samples)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)


def test_unbiased_discrepancy_is_zero_on_average():
    """Samples of one distribution: unbiased 0 in the mean, biased about 2 / T."""
    query, key = some_samples(6, batch=400), some_samples(6, batch=400, seed=1)
    unbiased = divergences.maximum_mean_discrepancy(query, key, unbiased=True)
    biased = divergences.maximum_mean_discrepancy(query, key)
    assert abs(float(ops.mean(unbiased))) < 0.01
    assert float(ops.mean(biased)) > 0.2


SAMPLES = some_samples()


@pytest.mark.parametrize(
    ("name", "value"),
    [("rho", -0.1), ("rho", 1.1), ("rho", math.nan)],
)
def test_wrong_arguments_of_conditional_transport(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}={value}"):
        divergences.conditional_transport(
            SAMPLES, SAMPLES, SAMPLES, SAMPLES, **{name: value}
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cost", "euclidean"),
        ("epsilon", 0.0),
        ("epsilon", -1.0),
        ("epsilon", math.nan),
        ("max_iterations", 0),
        ("tolerance", 0.0),
        ("tolerance", -1e-3),
    ],
)
def test_wrong_arguments_of_optimal_transport(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}={value!r}"):
        divergences.optimal_transport(SAMPLES, SAMPLES, **{name: value})


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_wrong_bandwidth(value):
    with pytest.raises(ValueError, match=f"`bandwidth`.*Received: bandwidth={value}"):
        divergences.maximum_mean_discrepancy(SAMPLES, SAMPLES, bandwidth=value)
