"""Sparse features of nodes against the same features as a dense array."""

import keras
import numpy as np
import pytest
from execution import BACKEND, MODES, array, value_and_gradients
from parameters import slow_but
from scipy import sparse
from small_graphs import EDGES

import keras_align
from keras_align.graphs import with_sparse_tensors
from keras_align.models import GraphAttentionNetwork
from keras_align.training import full_batch

pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="Keras has none on PyTorch")
NODES, SIZE = 6, 20


def matrix(density=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return sparse.random(NODES, SIZE, density, "csr", "float32", rng)


def tensor(given):
    return with_sparse_tensors(given)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scoring", ["gat", "gatv2"])
def test_outputs_and_gradients_are_those_of_dense_features(scoring, mode):
    layer = keras_align.GraphAttention(4, 3, scoring=scoring)
    given = matrix()
    layer(given.toarray(), EDGES)
    factor = np.random.default_rng(1).normal(size=(NODES, 12)).astype("float32")

    def result(features):
        return value_and_gradients(
            lambda: layer(features, EDGES) * factor,
            mode=mode,
            watch=layer.trainable_weights,
        )

    dense, of_dense = result(given.toarray())
    found, of_sparse = result(tensor(given))
    np.testing.assert_allclose(found, dense, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(of_sparse, of_dense, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_nothing_and_everything(density):
    layer = keras_align.GraphAttention(4, 3)
    given = matrix(density)
    expected = array(layer(given.toarray(), EDGES))
    found = array(layer(tensor(given), EDGES))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_float16_sums_in_float32():
    layer = keras_align.GraphAttention(
        2, dtype="mixed_float16", kernel_initializer="ones", add_self_loops=False
    )
    many = np.zeros((NODES, 4096), "float32")
    many[0] = 1.0 + 2.0**-10  # float16 would lose the small part from 2,048 on
    edges = np.array([[0, 1]])
    found = array(layer(tensor(sparse.csr_matrix(many)), edges))
    np.testing.assert_array_equal(found[1], np.float16(4100.0))


def test_padding_is_invisible():
    layer = keras_align.GraphAttention(4, 3)
    given = matrix(0.5).toarray()
    mask = np.array([1, 1, 1, 0, 1, 1], bool)
    expected = array(layer(given, EDGES, node_mask=mask))
    given[3] = np.nan
    given = tensor(sparse.csr_matrix(given))
    found = array(layer(given, EDGES, node_mask=mask))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_dropout_keeps_a_share_of_the_values():
    layer = keras_align.GraphAttention(
        1, dropout=0.25, kernel_initializer="ones", use_bias=False, seed=1
    )
    ones = sparse.csr_matrix(np.ones((1, 40_000), "float32"))
    edges = np.zeros((0, 2), "int32")
    total = float(array(layer(tensor(ones), edges, training=True))[0, 0])
    assert abs(total * 0.75 / 40_000 - 0.75) < 0.01
    again = float(array(layer(tensor(ones), edges, training=True))[0, 0])
    assert again != total
    assert float(array(layer(tensor(ones), edges))[0, 0]) == 40_000.0


def network(**options):
    keras.utils.set_random_seed(1)
    return GraphAttentionNetwork(SIZE, 2, **{"sparse": True, **options})


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("jit", slow_but([False], [False, True]))
def test_a_network_learns_from_a_matrix_of_scipy(jit, tmp_path):
    model = network(dropout=0.1, attention_dropout=0.0, feature_dropout=0.0)
    keras_align.align_model(model, "gan")
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
        jit_compile=jit,
    )
    inputs = {"features": matrix(0.4), "edges": EDGES.astype("int32")}
    batch = full_batch(inputs, np.arange(NODES) % 2, np.ones(NODES))
    history = model.fit(batch, epochs=60, shuffle=False, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    expected = model.predict(full_batch(inputs), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = loaded.predict(full_batch(inputs), verbose=0)
    np.testing.assert_array_equal(found, expected)


def test_measures_are_those_of_dense_features():
    dense, model = network(sparse=False), network()
    model.set_weights(dense.get_weights())
    given = {"features": matrix(0.4), "edges": EDGES.astype("int32")}
    as_array = given | {"features": given["features"].toarray()}
    found = keras_align.measure_alignment(model, given, 0.1, batch_size=None)
    expected = keras_align.measure_alignment(dense, as_array, 0.1, batch_size=None)
    assert found.total == pytest.approx(expected.total, rel=1e-4)
    with pytest.raises(ValueError, match="batch_size=32"):
        keras_align.measure_alignment(model, given)


def test_what_is_no_matrix_is_refused():
    layer = keras_align.GraphAttention(4)
    layer(matrix().toarray(), EDGES)
    given = tensor(matrix())
    if BACKEND == "tensorflow":
        import tensorflow as tf

        given = tf.sparse.reshape(given, (NODES, SIZE, 1))
    else:
        given = type(given).fromdense(given.todense(), n_dense=1)
    with pytest.raises(ValueError, match=r"`features` must be of shape \(n, "):
        layer(given, EDGES)


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_another_number_of_columns_is_refused(size):
    layer = keras_align.GraphAttention(4)
    layer(matrix().toarray(), EDGES)
    other = matrix(1.0).toarray().repeat(2, axis=1)[:, :size]
    with pytest.raises(ValueError, match=rf"\(n, {SIZE}\). Received: .* \(6, {size}\)"):
        layer(tensor(sparse.csr_matrix(other)), EDGES)


def test_values_of_one_place_are_added():
    twice = sparse.coo_matrix(
        (np.array([1.0, 2.0], "float32"), ([0, 0], [3, 3])), shape=(NODES, SIZE)
    )
    layer = keras_align.GraphAttention(4)
    expected = array(layer(twice.toarray(), EDGES))
    np.testing.assert_allclose(array(layer(tensor(twice), EDGES)), expected, rtol=1e-5)
