"""Inputs that `AlignmentMonitor` takes: those of `measure_alignment`."""

import contracts
import keras
import numpy as np
import pytest
from contracts import tokens
from execution import BACKEND, QUICK_STEP

import keras_align
from keras_align.callbacks import AlignmentMonitor
from keras_align.diagnostics import measure_alignment

pytestmark = pytest.mark.slow_on("jax")  # tracing takes long

X = tokens(5, batch=8)


def test_calls_of_a_shared_layer_are_measured_apart():
    inputs = keras.Input((5, 8))
    layer = contracts.MULTI_HEAD.make("mmd", name="shared")
    x = layer(inputs, inputs)
    model = keras.Model(inputs, layer(x, x))
    model.compile("sgd", "mse", **QUICK_STEP)
    monitor = AlignmentMonitor(X[:4])
    model.fit(X, X, verbose=0, callbacks=[monitor])
    expected = measure_alignment(model, X[:4]).per_layer
    last = monitor.history[-1]
    for name in ("shared", "shared@2"):
        found = last[f"alignment/{name}/mmd"]
        assert found == pytest.approx(expected[name].sum(), rel=1e-6)
    assert "alignment/shared/loss" in last and "alignment/shared@2/loss" not in last


def test_texts_are_measured_by_their_tokens():
    import small_classifiers

    model = keras_align.align_model(small_classifiers.plain_classifier(), "mmd")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, **QUICK_STEP)
    texts = small_classifiers.TEXTS
    monitor = AlignmentMonitor(texts)
    data = np.array(texts, object), np.arange(4) % 2
    model.fit(*data, shuffle=False, verbose=0, callbacks=[monitor])
    expected = measure_alignment(model, texts).total
    last = monitor.history[-1]
    assert last["alignment/total_mmd"] == pytest.approx(expected, rel=1e-6)
    assert list(monitor.layers) == ["transformer_layer_0", "transformer_layer_1"]


@pytest.mark.skipif(BACKEND == "torch", reason="sparse features need another backend")
@pytest.mark.parametrize("sparse", [False, True])
def test_graphs_are_measured_whole(sparse):
    graph = {
        "features": np.eye(6, 4, dtype="float32"),
        "edges": np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0]]),
    }
    if sparse:
        scipy = pytest.importorskip("scipy.sparse")
        graph["features"] = scipy.csr_matrix(graph["features"])
    network = keras_align.models.GraphAttentionNetwork(4, 2, sparse=sparse)
    keras_align.align_model(network, "mmd")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("sgd", loss, jit_compile=BACKEND == "jax")
    nodes = np.arange(6)
    data = keras_align.training.full_batch(graph, nodes % 2, nodes < 4)
    monitor = AlignmentMonitor(graph, batch_size=None)
    network.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[monitor])
    expected = measure_alignment(network, graph, batch_size=None).total
    last = monitor.history[-1]
    assert last["alignment/total_mmd"] == pytest.approx(expected, rel=1e-5)
    assert "alignment/mean_entropy" not in last  # its weights are those of edges
