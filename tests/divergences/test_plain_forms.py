"""Each fast form with its closed-form gradient against the plain form beside it."""

import functools

import numpy as np
import oracles
import pytest
from execution import value_and_gradients
from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.conditional_transport import (
    conditional_transport_by_chunks,
    conditional_transport_closed_form,
    conditional_transport_plain,
)
from keras_align.divergences.maximum_mean_discrepancy import (
    maximum_mean_discrepancy_closed_form,
    maximum_mean_discrepancy_plain,
)
from keras_align.divergences.optimal_transport import (
    optimal_transport_closed_form,
    optimal_transport_plain,
)
from keras_align.divergences.sinkhorn import Transport, transport

pytestmark = pytest.mark.slow_on("jax")

MASKS = (
    np.arange(5) < np.array([[5], [3], [1]]),
    np.arange(4) < np.array([[2], [4], [1]]),
)
ROW, COLUMN = (
    (mask / mask.sum(1, keepdims=True))[:, None].astype("float32") for mask in MASKS
)


def tokens(count, seed, width=3):
    """Rows `(B, N, T, D)`."""
    rng = np.random.default_rng(seed)
    return rng.normal(seed / 2, 1.0, (3, 2, count, width)).astype("float32")


weights = ops.convert_to_tensor


def as_tokens(x):
    return np.swapaxes(x, 1, 2)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def assert_agree(closed_form, plain, expected, *inputs):
    value, gradients = value_and_gradients(closed_form, *inputs)
    plain_value, plain_gradients = value_and_gradients(plain, *inputs)
    np.testing.assert_allclose(plain_value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    for gradient, wanted in zip(gradients, plain_gradients, strict=True):
        assert abs(wanted).max() > 1e-3
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


FORMS = conditional_transport_closed_form, conditional_transport_by_chunks


@pytest.mark.parametrize("rho", [0.0, 0.3])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("whole_or_in_chunks")
def test_conditional_transport(form, rho):
    units = unit(tokens(5, 0)), unit(tokens(4, 1))
    navigators = tokens(5, 2, width=2), tokens(4, 3, width=2)
    options = {"row": weights(ROW), "column": weights(COLUMN), "rho": rho}
    queries, keys = (
        tuple(map(as_tokens, features))
        for features in zip(units, navigators, strict=True)
    )
    assert_agree(
        functools.partial(form, **options),
        functools.partial(conditional_transport_plain, **options),
        oracles.conditional_transport(queries, keys, *MASKS, rho=rho),
        *units,
        *navigators,
    )


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.usefixtures("whole_or_in_chunks")
def test_maximum_mean_discrepancy(unbiased):
    query, key = tokens(5, 0), tokens(4, 1)
    options = {
        "row": weights(ROW),
        "column": weights(COLUMN),
        "precision": 1.5**-2,
        "unbiased": unbiased,
    }
    assert_agree(
        functools.partial(maximum_mean_discrepancy_closed_form, **options),
        functools.partial(maximum_mean_discrepancy_plain, **options),
        oracles.maximum_mean_discrepancy(
            as_tokens(query), as_tokens(key), *MASKS, bandwidth=1.5, unbiased=unbiased
        ),
        query,
        key,
    )


@pytest.mark.parametrize("cost", ["cosine", "sqeuclidean"])
@pytest.mark.usefixtures("whole_or_in_chunks")
def test_optimal_transport(cost):
    query, key = tokens(5, 0), tokens(4, 1)
    if cost == "cosine":
        query, key = unit(query), unit(key)
    factor = 1.0 if cost == "cosine" else 2.0
    marginals = weights(ROW), weights(COLUMN)
    limits = 0.5, 500, 1e-5
    moved, _ = transport(factor * query, weights(key), *marginals, *limits)
    moved = Transport(*map(ops.stop_gradient, moved))
    moved = moved._replace(to_keys=moved.to_keys / factor)
    products = factor * ops.matmul(query, numerics.transpose(weights(key)))
    units = np.eye(4, dtype="float32") * np.ones((3, 2, 1, 1), "float32")
    plan = transport(products, units, *marginals, *limits)[0].to_queries
    expected = oracles.optimal_transport(
        as_tokens(query), as_tokens(key), *MASKS, cost=cost, epsilon=0.5
    )
    assert_agree(
        functools.partial(optimal_transport_closed_form, moved=moved, cost=cost),
        functools.partial(
            optimal_transport_plain, plan=ops.stop_gradient(plan), cost=cost
        ),
        expected,
        query,
        key,
    )
