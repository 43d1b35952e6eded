"""The Sinkhorn iterations: plan, marginals, padding, when they stop."""

import numpy as np
import oracles
import pytest
from execution import array, compiled, dtype_of

from keras_align.divergences.sinkhorn import transport

pytestmark = pytest.mark.slow_on("jax")


def problem(rows=6, columns=9, batch=2, heads=2, scale=1.0, seed=0):
    """Costs `(B, N, T, S)` and uniform weights; the second sample has padding."""
    rng = np.random.default_rng(seed)
    costs = scale * rng.uniform(0, 2, (batch, heads, rows, columns)).astype("float32")
    masks = [np.ones((batch, size), "float32") for size in (rows, columns)]
    masks[0][1, 4:], masks[1][1, 5:] = 0.0, 0.0
    weights = [mask / mask.sum(1, keepdims=True) for mask in masks]
    return costs, *weights


def plan(costs, rows, columns, epsilon=0.05, max_iterations=2000, tolerance=1e-4):
    """The plan of any costs: `-q_i . k_j` with unit vectors as keys."""
    ones = np.ones((*costs.shape[:2], 1, 1), "float32")
    units = ones * np.eye(costs.shape[-1], dtype="float32")
    marginals = rows[:, None], columns[:, None]
    limits = epsilon, max_iterations, tolerance
    moved, convergence = transport(-costs, units, *marginals, *limits)
    return moved.to_queries, convergence  # of unit vectors


def plan_of(*arguments, **options):
    return array(plan(*arguments, **options)[0])


@pytest.mark.parametrize(
    "epsilon", [pytest.param(0.02, marks=pytest.mark.slow), 0.1, 2.0]
)
@pytest.mark.usefixtures("whole_or_in_chunks")
def test_plan_equals_pot(epsilon):
    costs, rows, columns = problem()
    plan = plan_of(costs, rows, columns, epsilon, tolerance=1e-5)
    for n in range(2):
        whole = oracles.transport_plan(costs[0, n].astype("float64"), epsilon)
        part = oracles.transport_plan(costs[1, n, :4, :5].astype("float64"), epsilon)
        np.testing.assert_allclose(plan[0, n], whole, atol=1e-5)
        np.testing.assert_allclose(plan[1, n, :4, :5], part, atol=1e-5)


def test_marginals_and_padding():
    costs, rows, columns = problem()
    plan = plan_of(costs, rows, columns)
    assert dtype_of(plan) == "float32" and (plan >= 0.0).all()
    per_head = np.broadcast_to(rows[:, None], plan.shape[:3])
    assert np.abs(plan.sum(-1) - per_head).sum(-1).max() < 1e-3
    np.testing.assert_allclose(plan.sum(-2)[:, 0], columns, atol=1e-3)
    assert not plan[1, :, 4:].any() and not plan[1, :, :, 5:].any()


def test_constant_costs_spread_evenly():
    _, rows, columns = problem()
    plan = plan_of(np.full((2, 2, 6, 9), 0.7, "float32"), rows, columns)
    even = rows[:, None, :, None] * columns[:, None, None, :]
    np.testing.assert_allclose(plan, np.broadcast_to(even, plan.shape), rtol=1e-4)


def test_small_epsilon_is_the_assignment():
    costs = np.where(np.eye(5)[::-1], 0.0, 1.0).astype("float32")[None, None]
    even = np.full((1, 5), 0.2, "float32")
    plan = plan_of(costs, even, even, epsilon=0.005)
    np.testing.assert_allclose(plan[0, 0], 0.2 * np.eye(5)[::-1], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_any_scale_of_costs_is_finite(scale):
    plan = plan_of(*problem(scale=scale), max_iterations=50)
    assert np.isfinite(plan).all()


def test_a_sample_without_tokens_is_finite():
    costs, rows, columns = problem()
    rows[0] = 0.0
    plan = plan_of(costs, rows, columns)
    assert np.isfinite(plan).all() and not plan[0].any()


def test_tolerance_and_bound_end_the_iterations():
    """More iterations and a smaller tolerance both come closer to the marginals."""
    costs, rows, columns = problem()

    def error(**options):
        plan = plan_of(costs, rows, columns, epsilon=0.02, **options)
        off_rows = np.abs(plan.sum(-1) - rows[:, None]).sum(-1)
        return (off_rows + np.abs(plan.sum(-2) - columns[:, None]).sum(-1)).max()

    few, many = error(max_iterations=8), error(max_iterations=2000)
    loose, tight = error(tolerance=0.3), error(tolerance=1e-4)
    assert many < 1e-3 < few and tight < 1e-3 < loose


def test_nothing_is_stored_for_an_iteration():
    """XLA compiles the loop, and no gradient passes through it."""
    costs, rows, columns = problem()

    expected = plan_of(costs, rows, columns)
    np.testing.assert_allclose(
        array(compiled(lambda x: plan(x, rows, columns)[0])(costs)),
        expected,
        rtol=1e-4,
        atol=1e-6,
    )
