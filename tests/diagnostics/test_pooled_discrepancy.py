"""`pooled_discrepancies` against the float64 formula."""

import numpy as np
import oracles
import pytest

from keras_align.diagnostics import pooled_discrepancy
from keras_align.diagnostics.pooled_discrepancy import pooled_discrepancies


def samples(queries, keys, offset=0.0):
    draw = np.random.default_rng(0)
    query = draw.normal(size=(queries, 3, 4)) + offset
    key = draw.normal(0.4, 1.3, size=(keys, 3, 4)) + offset
    return query.astype("float32"), key.astype("float32")


@pytest.mark.parametrize("bandwidth", [0.3, 2.0])
@pytest.mark.parametrize(("queries", "keys"), [(5, 9), (1, 4), (1, 1), (8, 7)])
def test_equals_float64(monkeypatch, queries, keys, bandwidth):
    monkeypatch.setattr(pooled_discrepancy, "ROWS", 4)  # several pieces, a short last
    query, key = samples(queries, keys)
    wanted = oracles.maximum_mean_discrepancy(
        query[None], key[None], bandwidth=bandwidth, unbiased=True
    )
    received = pooled_discrepancies(query, key, bandwidth)
    np.testing.assert_allclose(received, wanted[0], rtol=1e-5, atol=1e-6)


def test_far_from_the_origin():
    near = pooled_discrepancies(*samples(30, 40), 1.0)
    far = pooled_discrepancies(*samples(30, 40, offset=1000.0), 1.0)
    np.testing.assert_allclose(far, near, atol=1e-3)


@pytest.mark.parametrize("bandwidth", [1e-200, 1e38])
@pytest.mark.parametrize("size", [1.0, 1e6])
def test_any_bandwidth_is_finite(bandwidth, size):
    """No token is near another, or all are: no distance is left."""
    query, key = samples(5, 6)
    values = pooled_discrepancies(size * query, size * key, bandwidth)
    np.testing.assert_allclose(values, 0.0, atol=1e-6)


def test_a_token_is_left_out_of_the_pairs_with_itself():
    """Also where the bandwidth is below the rounding error of a distance."""
    query, key = samples(30, 40)
    values = pooled_discrepancies(100.0 * query, 100.0 * key, 1e-3)
    np.testing.assert_allclose(values, 0.0, atol=1e-9)
