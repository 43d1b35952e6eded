"""`GraphAttention` against GATConv and GATv2Conv of PyTorch Geometric."""

import keras
import numpy as np
import pytest
from execution import array

import keras_align

pytestmark = pytest.mark.slow

NODES, EDGES, SIZE, EDGE_SIZE = 300, 2000, 10, 4
THEIRS = {
    "gat": {
        "kernel": ("lin.weight", "weight"),
        "query_attention": ("att_dst", "heads"),
        "key_attention": ("att_src", "heads"),
        "edge_kernel": ("lin_edge.weight", "weight"),
        "edge_attention": ("att_edge", "heads"),
        "bias": ("bias", "same"),
    },
    "gatv2": {
        "query_kernel": ("lin_r.weight", "weight"),
        "key_kernel": ("lin_l.weight", "weight"),
        "query_bias": ("lin_r.bias", "same"),
        "key_bias": ("lin_l.bias", "same"),
        "attention": ("att", "heads"),
        "edge_kernel": ("lin_edge.weight", "weight"),
        "bias": ("bias", "same"),
    },
}


def copy_weights(layer, theirs, scoring):
    """Gives their layer random values of ours; returns nothing of theirs unset."""
    import torch

    state, rng = theirs.state_dict(), np.random.default_rng(3)
    for weight in layer.trainable_weights:
        value = rng.normal(size=weight.shape).astype("float32")
        weight.assign(value)
        name, kind = THEIRS[scoring][weight.name]
        value = {"weight": value.T, "heads": value[None]}.get(kind, value)
        state[name].copy_(torch.tensor(np.ascontiguousarray(value)))
    assert len(state) == len(layer.trainable_weights)


@pytest.mark.parametrize("scoring", ["gat", "gatv2"])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("with_edges", [True, False])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_equals_torch_geometric(scoring, concat, with_edges, self_loops):
    torch = pytest.importorskip("torch")
    nn = pytest.importorskip("torch_geometric.nn")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NODES, SIZE)).astype("float32")
    index = rng.integers(0, NODES - 5, (2, EDGES))  # the last nodes are isolated
    extra = rng.normal(size=(EDGES, EDGE_SIZE)).astype("float32")
    ours = keras_align.GraphAttention(
        6, 4, concat, 0.1, self_loops, scoring=scoring, edge_features=with_edges
    )
    call = {"edge_features": extra} if with_edges else {}
    ours(x, edge_index=index, **call)
    theirs = {"gat": nn.GATConv, "gatv2": nn.GATv2Conv}[scoring](
        SIZE, 6, 4, concat, 0.1, add_self_loops=self_loops,
        edge_dim=EDGE_SIZE if with_edges else None,
    )  # fmt: skip
    with torch.no_grad():
        copy_weights(ours, theirs, scoring)
        expected, (_, alpha) = theirs(
            torch.tensor(x), torch.tensor(index),
            torch.tensor(extra) if with_edges else None,
            return_attention_weights=True,
        )  # fmt: skip
    outputs, weights = ours(x, edge_index=index, return_attention_scores=True, **call)
    np.testing.assert_allclose(array(outputs), expected.numpy(), rtol=1e-5, atol=1e-5)
    loops = index[0] == index[1]
    kept = np.ones(len(array(weights)), bool)
    kept[:EDGES] = ~loops if self_loops else True  # they take these out
    np.testing.assert_allclose(array(weights)[kept], alpha.numpy(), atol=1e-5)


@pytest.mark.parametrize("scoring", ["gat", "gatv2"])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.backends("torch")
def test_gradients_equal_those_of_torch_geometric(scoring):
    torch = pytest.importorskip("torch")
    nn = pytest.importorskip("torch_geometric.nn")
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(NODES, SIZE)).astype("float32"))
    index = torch.tensor(rng.integers(0, NODES, (2, EDGES)))
    ours = keras_align.GraphAttention(6, 4, scoring=scoring)
    ours(x, edge_index=index)
    theirs = {"gat": nn.GATConv, "gatv2": nn.GATv2Conv}[scoring](SIZE, 6, 4)
    with torch.no_grad():
        copy_weights(ours, theirs, scoring)
    keras.ops.sum(ours(x, edge_index=index) ** 2).backward()
    (theirs(x, index) ** 2).sum().backward()
    named = dict(theirs.named_parameters())
    for weight in ours.trainable_weights:
        name, kind = THEIRS[scoring][weight.name]
        found, expected = weight.value.grad, named[name].grad
        expected = {"weight": expected.T, "heads": expected[0]}.get(kind, expected)
        scale = expected.abs().max()
        torch.testing.assert_close(
            found / scale, expected / scale, rtol=1e-4, atol=1e-5
        )
