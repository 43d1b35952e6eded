"""Sums, softmaxes and dropout against NumPy."""

import keras
import numpy as np
import pytest
from execution import array
from keras import ops

from keras_align.graphs import dropout, segment_softmax, segment_sum

RNG = np.random.default_rng(0)
SEGMENTS = np.array([2, 0, 2, 2, 0, 4], "int32")


def test_sums_and_empty_segments():
    x = RNG.normal(size=(6, 3, 2)).astype("float32")
    expected = np.zeros((5, 3, 2))
    np.add.at(expected, SEGMENTS, x)
    total = segment_sum(ops.convert_to_tensor(x), ops.convert_to_tensor(SEGMENTS), 5)
    np.testing.assert_allclose(array(total), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_softmax_of_any_size(scale):
    scores = RNG.normal(size=(6, 2)).astype("float32") * scale
    mask = np.array([1, 1, 0, 1, 1, 1], bool)
    arguments = map(ops.convert_to_tensor, (scores, SEGMENTS))
    found = array(segment_softmax(*arguments, 5, ops.convert_to_tensor(mask)))
    for segment in range(5):
        rows = (segment == SEGMENTS) & mask
        if rows.any():
            own = scores[rows].astype("float64")
            expected = np.exp(own - own.max(axis=0))
            expected /= expected.sum(axis=0)
            np.testing.assert_allclose(found[rows], expected, rtol=1e-5)
    assert not found[~mask].any()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_dropout_keeps_the_mean(dtype):
    x = ops.ones((200, 500), dtype)
    dropped = dropout(x, 0.6, keras.random.SeedGenerator(1))
    assert keras.backend.standardize_dtype(dropped.dtype) == dtype
    values = array(dropped).astype("float64")
    assert set(np.unique(values.round(2))) == {0.0, 2.5}
    # Five standard deviations of the share of 100,000 draws.
    np.testing.assert_allclose((values > 0).mean(), 0.4, atol=5 * 0.0016)
    rows, columns = ((values > 0).mean(axis=k) for k in (1, 0))
    assert rows.std() < 0.03 and columns.std() < 0.05  # no pattern


def test_dropout_follows_its_seed():
    x = ops.ones((50, 40))
    first, second = (
        [array(dropout(x, 0.5, generator)) for _ in range(2)]
        for generator in (keras.random.SeedGenerator(3), keras.random.SeedGenerator(3))
    )
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (3, 1), (5, 3, 3)])
def test_dropout_of_any_shape(shape):
    values = array(dropout(ops.ones(shape), 0.5, keras.random.SeedGenerator(1)))
    assert values.shape == shape and set(np.unique(values)) <= {0.0, 2.0}


def test_neighbours_are_dropped_independently():
    generator = keras.random.SeedGenerator(1)
    kept = array(dropout(ops.ones(200_000), 0.5, generator)) > 0
    for distance in (1, 2):  # two entries share a number that was drawn
        correlation = np.corrcoef(kept[distance:], kept[:-distance])[0, 1]
        assert abs(correlation) < 5 / 200_000**0.5
