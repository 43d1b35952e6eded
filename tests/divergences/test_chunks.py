"""Long sequences go by chunks: the same values, in memory that is linear."""

import keras
import numpy as np
import pytest
from execution import value_and_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_align import divergences
from keras_align.divergences import chunks


def features(count, seed, width=3):
    rng = np.random.default_rng(seed)
    return rng.normal(seed / 2, 1.0, (2, count, 2, width)).astype("float32")


def mask_of(count, seed):
    """The second sample has no token."""
    mask = np.random.default_rng(seed).random((2, count)) < 0.7
    mask[1] = False
    return mask


def in_chunks_of(rows, monkeypatch):
    monkeypatch.setattr(chunks, "_WHOLE", 0)
    monkeypatch.setattr(chunks, "_ROWS", rows)


FUNCTIONS = {
    "ct": divergences.conditional_transport,
    "mmd": lambda query, key, _query, _key, *masks: (
        divergences.maximum_mean_discrepancy(query, key, *masks, unbiased=True)
    ),
    "ot": lambda query, key, _query, _key, *masks: divergences.optimal_transport(
        query, key, *masks, epsilon=0.1
    ),
}


@pytest.mark.parametrize("rows", [1, 4, 50])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_chunks_change_no_value_and_no_gradient(name, masked, rows, monkeypatch):
    masks = (mask_of(7, 4), mask_of(5, 5)) if masked else (None, None)
    inputs = features(7, 0), features(5, 1), features(7, 2, 2), features(5, 3, 2)

    def function(*inputs):
        unused = sum(ops.sum(0.0 * x) for x in inputs)  # a gradient for each
        return FUNCTIONS[name](*inputs, *masks) + unused

    whole = value_and_gradients(function, *inputs)
    in_chunks_of(rows, monkeypatch)
    value, gradients = value_and_gradients(function, *inputs)
    np.testing.assert_allclose(value, whole[0], rtol=1e-5, atol=1e-6)
    for gradient, wanted in zip(gradients, whole[1], strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of its graphs")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_number_of_samples_may_be_unknown(name, jit_compile, monkeypatch):
    import tensorflow as tf

    inputs = features(7, 0), features(5, 1), features(7, 2, 2), features(5, 3, 2)
    inputs = [tf.constant(x) for x in inputs]

    def function(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = FUNCTIONS[name](*inputs, None, None)
        return value, tape.gradient(value, inputs, unconnected_gradients="zero")

    whole = function(*inputs)
    in_chunks_of(3, monkeypatch)
    signature = [tf.TensorSpec((None, *x.shape[1:])) for x in inputs]
    compiled = tf.function(function, signature, jit_compile=jit_compile)
    results = map(tf.nest.flatten, (compiled(*inputs), whole))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of its dimensions")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jax_exports_with_a_symbolic_length(name):
    import jax

    (length,) = jax.export.symbolic_shape("length")
    shapes = [(2, length, 2, width) for width in (3, 3, 2, 2)]
    inputs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    exported = jax.export.export(jax.jit(lambda *x: FUNCTIONS[name](*x, None, None)))
    arrays = [features(7, seed, width) for seed, width in enumerate((3, 3, 2, 2))]
    wanted = FUNCTIONS[name](*arrays, None, None)
    value = exported(*inputs).call(*arrays)
    np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


@given(length=st.integers(1, 12), size=st.integers(1, 14), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
@pytest.mark.slow_on("jax")
def test_by_chunks_joins_rows_and_adds_sums(length, size, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 3, length, 4)).astype("float32")
    number = np.arange(length, dtype="float32")[None, None, :, None]

    def function(x, number):
        return [x + number, x[..., :1]], [ops.sum(x * number, axis=2)]

    like = [x, x[..., :1]], [x[:, :, 0]]
    x, number = ops.convert_to_tensor(x), ops.convert_to_tensor(number)
    whole = chunks.by_chunks(function, (x, number), None, like)
    parts = chunks.by_chunks(function, (x, number), size, like)
    for one, other in zip(whole[0] + whole[1], parts[0] + parts[1], strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-5
        )


def test_short_and_unknown_lengths_are_taken_as_a_whole():
    def size(rows, columns, samples=8):
        query = keras.KerasTensor((samples, 12, rows, 64))
        key = keras.KerasTensor((samples, 12, columns, 64))
        return chunks.chunk_size(query, key)

    assert size(512, 512) is None
    assert size(512, 512, samples=32) < 512  # memory counts all samples
    assert size(512, 512, samples=None) is None
    assert size(1024, 1024, samples=None) < 1024  # it may be large
    assert size(None, 4096) is None and size(4096, None) is None
    assert 1 <= size(4096, 4096) < 512
    assert size(2, 10**7) == 2
    assert size(65, 10**6) == 33  # and 33 again, not 64 and 1


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="XLA tells the memory")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_memory_is_linear_in_the_tokens(name):
    import jax

    def planned(tokens):
        shapes = [(1, tokens, 2, width) for width in (8, 8, 4, 4)]
        inputs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]

        def total(*inputs):
            return FUNCTIONS[name](*inputs, None, None).sum()

        compiled = jax.jit(jax.grad(total, (0, 1, 2, 3))).lower(*inputs).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert planned(16384) < 2.5 * planned(8192)
