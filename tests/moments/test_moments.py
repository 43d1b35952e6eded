"""Moments gathered in batches against NumPy, and the maps that make them equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_align.moments import Moments, equal_covariances, matching_map

pytestmark = pytest.mark.backends("tensorflow")  # NumPy alone


def gathered(vectors, heads=None):
    """`Moments` of `(tokens, N, H)`."""
    moments = Moments(heads or vectors.shape[1])
    moments.add(vectors[None], np.ones((1, len(vectors)), bool))
    return moments


def samples(seed, tokens=60, heads=2, size=4):
    """Correlated queries and keys with other means."""
    draw = np.random.default_rng(seed)
    query, key = (
        draw.normal(size=(tokens, heads, size)) @ draw.normal(size=(size, size))
        + draw.normal(size=(heads, size))
        for _ in range(2)
    )
    return query, key


def test_batches_masks_and_groups_are_pooled():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(5, 7, 6, 3)).astype("float32")
    mask = draw.random((5, 7)) < 0.6
    moments = Moments(2)
    for rows in (slice(0, 2), slice(2, 3), slice(3, 5)):
        moments.add(x[rows], mask[rows])
    moments.add(x, np.zeros_like(mask))
    for head in range(2):
        real = x[mask][:, 3 * head : 3 * head + 3].reshape(-1, 3).astype("float64")
        assert moments.count == len(real)
        np.testing.assert_allclose(moments.mean[head], real.mean(0), atol=1e-12)
        expected = np.cov(real.T, bias=True)
        np.testing.assert_allclose(moments.covariance[head], expected, atol=1e-12)
        expected = real.T @ real / len(real)
        np.testing.assert_allclose(moments.second[head], expected, atol=1e-12)


def test_far_from_zero_nothing_is_lost():
    x = np.random.default_rng(0).normal(size=(50, 1, 3))
    expected = gathered(x).covariance
    np.testing.assert_allclose(gathered(x + 1e6).covariance, expected, atol=1e-8)


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e3]))
def test_the_map_makes_moments_equal_and_leaves_differences_of_scores(seed, scale):
    query, key = samples(seed)
    query = query * scale
    found = matching_map(gathered(query), gathered(key), ridge=0.0)
    mapped_query, mapped_key = found.of_queries(query), found.of_keys(key)
    of_query, of_key = gathered(mapped_query), gathered(mapped_key)
    size = np.abs(of_query.covariance).max()
    np.testing.assert_allclose(of_query.mean, of_key.mean, atol=1e-9 * size**0.5 + 1e-9)
    np.testing.assert_allclose(of_query.covariance, of_key.covariance, atol=1e-6 * size)
    np.testing.assert_allclose(found.forward, found.forward.swapaxes(1, 2), rtol=1e-9)

    def centered(q, k):
        scores = np.einsum("tnh,snh->nts", q, k)
        return scores - scores.mean(-1, keepdims=True)

    before, after = centered(query, key), centered(mapped_query, mapped_key)
    np.testing.assert_allclose(after, before, atol=1e-8 * np.abs(before).max())


@given(st.integers(0, 10**6), st.sampled_from(["full", "rotary", "scale"]))
def test_the_inverse_undoes(seed, kind):
    query, key = samples(seed)
    found = matching_map(gathered(query), gathered(key), kind)
    back = found.inverse()
    np.testing.assert_allclose(back.of_queries(found.of_queries(query)), query)
    np.testing.assert_allclose(back.of_keys(found.of_keys(key)), key, atol=1e-9)


def test_means_alone_move_keys_alone():
    query, key = samples(0)
    found = matching_map(gathered(query), gathered(key), moments="mean")
    np.testing.assert_array_equal(found.of_queries(query), query)
    np.testing.assert_allclose(found.of_keys(key).mean(0), query.mean(0))


def test_without_shift_second_moments_are_equal():
    query, key = samples(0)
    found = matching_map(gathered(query), gathered(key), shifts=False, ridge=0.0)
    assert not found.shift.any()
    of_query, of_key = found.of_queries(query), found.of_keys(key)
    left, right = gathered(of_query).second, gathered(of_key).second
    np.testing.assert_allclose(left, right, atol=1e-9 * np.abs(left).max())


def test_scales_of_pairs_commute_with_rotations():
    query, key = samples(0)
    found = matching_map(gathered(query), gathered(key), "rotary")
    angle = np.random.default_rng(1).random(2)
    cos, sin = np.diag(np.cos(angle)), np.diag(np.sin(angle))
    rotation = np.block([[cos, sin], [-sin, cos]])  # of features i and i + H / 2
    np.testing.assert_allclose(
        found.of_queries(query @ rotation), found.of_queries(query) @ rotation
    )
    of_query, of_key = (
        np.square(x).mean(0).reshape(2, 2, 2).mean(1)
        for x in (found.of_queries(query), found.of_keys(key))
    )
    np.testing.assert_allclose(of_query, of_key)


def test_one_scale_for_a_head():
    query, key = samples(0)
    found = matching_map(gathered(query), gathered(key), "scale")
    left, right = found.of_queries(query), found.of_keys(key)
    sizes = [np.square(x).mean((0, 2)) for x in (left, right)]
    np.testing.assert_allclose(*sizes)
    ratio = left / query
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1, :, :1], ratio.shape))


@pytest.mark.parametrize("query", ["constant", "flat", "zero"])
@pytest.mark.parametrize("kind", ["full", "rotary", "scale"])
def test_degenerate_heads_stay_finite_and_invertible(query, kind):
    _, key = samples(0)
    value = {"constant": np.ones_like(key), "zero": np.zeros_like(key)}
    value["flat"] = key * np.array([1.0, 0.0, 0.0, 0.0])  # one feature of four
    found = matching_map(gathered(value[query]), gathered(key), kind)
    identity = np.broadcast_to(np.eye(4), (2, 4, 4))
    np.testing.assert_allclose(found.forward @ found.backward, identity, atol=1e-8)
    assert np.linalg.cond(found.forward).max() < 1e4
    if query == "zero" or (query == "constant" and kind == "full"):
        np.testing.assert_allclose(found.forward, identity, atol=1e-12)


def test_equal_covariances_solve_the_equation():
    draw = np.random.default_rng(0)
    query, key = ((x @ x.swapaxes(1, 2)) for x in draw.normal(size=(2, 3, 5, 9)))
    forward, backward = equal_covariances(query, key, ridge=0.0)
    np.testing.assert_allclose(forward @ query @ forward, backward @ key @ backward)
