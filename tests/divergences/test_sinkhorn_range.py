"""Optimal transport at any scale of the cost, epsilon and number of iterations."""

import math

import numpy as np
import oracles
import pytest
from execution import MODES, array, value_and_gradients
from parameters import slow_but

from keras_align import divergences

pytestmark = pytest.mark.slow_on("jax")

SCALES = 1.0, 10.0, 100.0, 300.0, 1000.0


def displaced_samples():
    """Queries and keys `(5, T, N, H)`; each sample is on another scale."""
    rng = np.random.default_rng(0)
    scale = np.float32(SCALES)[:, None, None, None]
    query, key = (rng.normal(size=(1, count, 4, 8)) for count in (12, 12))
    return (scale * query).astype("float32"), (scale * (key + 1.0)).astype("float32")


def transport(query, key, **options):
    """Value and convergence as arrays."""
    value, convergence = divergences.optimal_transport(
        query, key, return_convergence=True, **options
    )
    return array(value), divergences.Convergence(*map(array, convergence))


@pytest.mark.parametrize("cost", divergences.COSTS)
@pytest.mark.parametrize("epsilon", slow_but([1e-3], [1e-3, 1e-2, 0.1, 1.0]))
def test_finite_at_1000_iterations(cost, epsilon):
    """The over-relaxed scalings left float32 from a scale of 300 on."""
    query, key = displaced_samples()
    value, gradients = value_and_gradients(
        lambda q, k: divergences.optimal_transport(q, k, cost=cost, epsilon=epsilon),
        query,
        key,
        mode=MODES[-1],
    )
    assert np.isfinite(value).all() and (value > 0.0).all()
    assert all(np.isfinite(each).all() and each.any() for each in gradients)


@pytest.mark.parametrize(("epsilon", "iterations"), [(1e-300, 30), (1e38, 1)])
def test_finite_at_any_epsilon(epsilon, iterations):
    query, key = displaced_samples()
    for cost in divergences.COSTS:
        options = {"epsilon": epsilon, "max_iterations": iterations}
        value, _ = transport(query, key, cost=cost, **options)
        assert np.isfinite(value).all()


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1e-3, 1.0])
def test_equals_pot_where_it_converged(epsilon):
    """A plan of small entropy costs the least by at most `epsilon log T`."""
    query, key = displaced_samples()
    options = {"cost": "sqeuclidean", "epsilon": epsilon}
    value, convergence = transport(query, key, tolerance=1e-5, **options)
    assert convergence.converged.mean() > 0.5
    assert (convergence.marginal_error[convergence.converged] <= 1e-5).all()
    least = oracles.optimal_transport(query, key, cost="sqeuclidean", epsilon=None)
    excess = value / least - 1.0
    bound = 1e-4 + epsilon * math.log(12) / least
    assert (np.abs(excess) < bound)[convergence.converged].all()
    if epsilon == 1.0:
        one = oracles.optimal_transport(query[:1], key[:1], **options)
        np.testing.assert_allclose(value[:1], one, rtol=1e-4)


def test_convergence_says_who_ran_out_of_iterations():
    query, key = displaced_samples()
    options = {"cost": "sqeuclidean", "epsilon": 10.0}
    few = transport(query, key, max_iterations=3, **options)[1]
    assert few.iterations == 5  # rounded up
    assert few.marginal_error.shape == few.converged.shape == (5, 4)
    assert not few.converged[1:].any()
    many = transport(query[:1], key[:1], max_iterations=500, **options)[1]
    assert many.converged.all() and many.iterations < 500
    assert (many.marginal_error <= 1e-4).all()


def test_a_plan_of_a_larger_epsilon_has_not_converged():
    """Its marginals may be right at any number of iterations."""
    x = np.eye(4, dtype="float32")[None, :, None]
    _, convergence = transport(x, x, epsilon=1e-4, max_iterations=5)
    assert (convergence.marginal_error < 1e-4).all()
    assert not convergence.converged.any()


def test_a_sample_without_tokens_has_converged():
    query, key = displaced_samples()
    mask = np.ones((5, 12), bool)
    mask[2] = False
    _, convergence = transport(query, key, query_mask=mask, max_iterations=5)
    assert not convergence.marginal_error[2].any() and convergence.converged[2].all()
