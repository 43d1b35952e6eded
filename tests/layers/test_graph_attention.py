"""`GraphAttention` against NumPy, and what must hold for every graph."""

import graph_oracle
import keras
import numpy as np
import pytest
from execution import array
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from small_graphs import EDGES, features

import keras_align

SCORINGS = ("gat", "gatv2")


def randomised(layer, seed=1):
    """Gives every weight, also the biases, random values."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if "float" in weight.dtype:
            weight.assign(rng.normal(size=weight.shape))
    return {w.name: array(w) for w in layer.trainable_weights}


def compare(layer, x, edges, **call):
    """Outputs and attention are those of NumPy; returns them."""
    layer(x, edges, **call)
    weights = randomised(layer)
    found = layer(x, edges, return_attention_scores=True, **call)
    expected = graph_oracle.graph_attention(
        weights, x, edges, layer.scoring, layer.negative_slope,
        layer.concat_heads, layer.add_self_loops, **call,
    )  # fmt: skip
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(array(ours), theirs, rtol=1e-4, atol=1e-5)
    return [array(each) for each in found]


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("concat", [True, False])
def test_equals_numpy(scoring, self_loops, concat):
    layer = keras_align.GraphAttention(
        4, 3, concat, 0.3, add_self_loops=self_loops, scoring=scoring
    )
    compare(layer, features(), EDGES)


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("self_loops", [True, False])
def test_edge_features_and_masks_equal_numpy(scoring, self_loops):
    layer = keras_align.GraphAttention(
        4, 2, scoring=scoring, edge_features=True, add_self_loops=self_loops
    )
    given = {"edge_features": features(len(EDGES), 3, seed=2)}
    compare(layer, features(), EDGES, **given)
    given["edge_mask"] = np.array([1, 1, 0, 1, 1, 1, 0], bool)
    given["node_mask"] = np.array([1, 1, 1, 0, 1, 1], bool)
    compare(layer, features(), EDGES, **given)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 7))
    node = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=12))
    return count, np.array(edges, "int32").reshape(-1, 2)


@pytest.mark.slow_on("jax")
@given(graphs(), st.sampled_from(SCORINGS), st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_graph_equals_numpy(graph, scoring, self_loops):
    count, edges = graph
    layer = keras_align.GraphAttention(3, 2, scoring=scoring, add_self_loops=self_loops)
    outputs, alpha = compare(layer, features(count), edges)
    ends = edges[:, 1]
    if self_loops:
        ends = np.concatenate([ends, np.arange(count)])
    sums = np.zeros((count, 2))
    np.add.at(sums, ends, alpha)
    attends = np.isin(np.arange(count), ends)
    np.testing.assert_allclose(sums[attends], 1.0, rtol=1e-5)
    assert np.isfinite(outputs).all()


@pytest.mark.slow_on("jax")
@given(graphs(), st.randoms(use_true_random=False), st.sampled_from(SCORINGS))
@settings(max_examples=20, deadline=None)
def test_permuted_nodes_have_permuted_outputs(graph, random, scoring):
    count, edges = graph
    order = list(range(count))
    random.shuffle(order)
    place = np.argsort(order)  # the new number of every node
    layer, x = keras_align.GraphAttention(3, 2, scoring=scoring), features(count)
    outputs = array(layer(x, edges))
    permuted = array(layer(x[order], place[edges].astype("int32")))
    np.testing.assert_allclose(permuted, outputs[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_padding_changes_nothing(scoring):
    layer, x = keras_align.GraphAttention(4, 2, scoring=scoring), features()
    outputs = array(layer(x, EDGES))
    wild = np.array([[-1, 9999], [0, 3], [7, 0]])  # one is an edge of real nodes
    padded = array(
        layer(
            np.concatenate([x, np.full((3, 5), np.nan, "float32")]),
            np.concatenate([EDGES, wild]),
            edge_mask=np.arange(len(EDGES) + 3) < len(EDGES),
            node_mask=np.arange(len(x) + 3) < len(x),
        )
    )
    np.testing.assert_array_equal(padded[:6], outputs)
    np.testing.assert_array_equal(padded[6:], 0.0)


def test_a_union_of_graphs_is_each_of_them():
    layer, x = keras_align.GraphAttention(4, 2), features()
    other = features(3, seed=5)
    union = np.concatenate([EDGES, np.array([[0, 1], [2, 1]]) + 6])
    outputs = array(layer(np.concatenate([x, other]), union))
    np.testing.assert_allclose(outputs[:6], array(layer(x, EDGES)), rtol=1e-5)
    apart = layer(other, np.array([[0, 1], [2, 1]]))
    np.testing.assert_allclose(outputs[6:], array(apart), rtol=1e-5)


def test_indices_of_few_bits():
    layer, x = keras_align.GraphAttention(4, 2), features(300)
    edges = EDGES.astype("uint8")
    expected = array(layer(x, EDGES))
    np.testing.assert_array_equal(array(layer(x, edges)), expected)


def test_the_index_of_other_libraries():
    layer, x = keras_align.GraphAttention(4, 2), features()
    ours, theirs = layer(x, EDGES), layer(x, edge_index=EDGES.T)
    np.testing.assert_array_equal(array(ours), array(theirs))


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("scale", [1.0, 1e3, 3e4])
def test_float16_is_that_of_float32(scoring, scale):
    """Also for scores that float16 cannot hold, and for a node with 5,000 edges."""
    options = {"scoring": scoring, "units": 4, "num_heads": 2}
    full = keras_align.GraphAttention(**options)
    half = keras_align.GraphAttention(**options, dtype="mixed_float16")
    x = features(5000).astype("float16").astype("float32")
    edges = np.stack([np.arange(5000), np.zeros(5000)], 1).astype("int32")
    full(x, edges), half(x, edges)
    for mine, other in zip(half.weights, full.weights, strict=True):
        mine.assign(other)
    for weight in (*full.weights, *half.weights):
        if "attention" in weight.name.split("/")[-1]:
            weight.assign(weight * scale)
    ours, expected = array(half(x, edges)), array(full(x, edges))
    assert np.isfinite(ours).all()
    if scale == 1.0:
        np.testing.assert_allclose(ours, expected, atol=2e-2)


@pytest.mark.backends("tensorflow")  # Keras computes in float32 on the others
@pytest.mark.parametrize("scoring", SCORINGS)
def test_gradients_equal_finite_differences(scoring):
    """The gradient to one entry of every weight, in float64."""
    layer = keras_align.GraphAttention(
        3, 2, scoring=scoring, edge_features=True, dtype="float64"
    )
    x, extra = features().astype("float64"), features(7, 2, 3).astype("float64")
    x, extra = (ops.convert_to_tensor(each, "float64") for each in (x, extra))
    layer(x, EDGES, edge_features=extra)
    randomised(layer)
    target = features(6, 6, 4)

    def loss(values):
        values = [ops.convert_to_tensor(v, "float64") for v in values]
        outputs, _ = layer.stateless_call(values, [], x, EDGES, edge_features=extra)
        return ops.sum(outputs * ops.cast(target, "float64"))

    values = [array(w) for w in layer.trainable_weights]
    found = gradients(layer, loss, values)
    for number, value in enumerate(values):
        place = tuple(size // 2 for size in value.shape)
        step = np.zeros_like(value)
        step[place] = 1e-6
        moved = [
            [v + sign * step if k == number else v for k, v in enumerate(values)]
            for sign in (1, -1)
        ]
        expected = (float(loss(moved[0])) - float(loss(moved[1]))) / 2e-6
        np.testing.assert_allclose(found[number][place], expected, rtol=1e-4, atol=1e-6)


def gradients(layer, loss, values):
    """The gradients of a loss of the weights' values, on any backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        values = [tf.convert_to_tensor(v) for v in values]
        with tf.GradientTape() as tape:
            tape.watch(values)
            result = loss(values)
        return [array(g) for g in tape.gradient(result, values)]
    if backend == "jax":
        import jax

        return [array(g) for g in jax.grad(loss)([ops.array(v) for v in values])]
    values = [ops.convert_to_tensor(v, "float64") for v in values]
    values = [v.requires_grad_() for v in values]
    loss(values).backward()
    return [array(v.grad) for v in values]


@pytest.mark.parametrize("scoring", SCORINGS)
def test_no_two_weights_begin_equal(scoring):
    layer = keras_align.GraphAttention(4, 3, scoring=scoring, use_bias=False)
    layer(features(), EDGES)
    values = [array(weight) for weight in layer.trainable_weights]
    pairs = [(a, b) for a in values for b in values if a is not b]
    assert not any(a.shape == b.shape and (a == b).all() for a, b in pairs)


@pytest.mark.parametrize("self_loops", [True, False])
def test_a_functional_model_gives_the_scores(self_loops):
    layer = keras_align.GraphAttention(4, 3, add_self_loops=self_loops)
    inputs = [keras.Input((5,)), keras.Input((2,), dtype="int32")]
    model = keras.Model(inputs, layer(*inputs, return_attention_scores=True))
    assert [x.shape for x in model.outputs] == [(None, 12), (None, 3)]
    outputs, scores = model([features(), EDGES.astype("int32")])
    assert tuple(outputs.shape) == (6, 12)
    assert tuple(scores.shape) == (7 + 6 * self_loops, 3)
    assert layer.compute_output_shape((6, 5)) == (6, 12)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_masks_of_numbers_are_those_of_booleans(dtype):
    layer, x = keras_align.GraphAttention(4, 3), features()
    masks = {"edge_mask": np.arange(7) < 5, "node_mask": np.arange(6) < 4}
    expected = array(layer(x, EDGES, **masks))
    numbers = {name: mask.astype(dtype) for name, mask in masks.items()}
    np.testing.assert_array_equal(array(layer(x, EDGES, **numbers)), expected)


def test_dropout_acts_in_training_alone():
    layer = keras_align.GraphAttention(
        4, 2, dropout=0.5, attention_dropout=0.5, feature_dropout=0.5, seed=1
    )
    x = features()
    plain = array(layer(x, EDGES))
    np.testing.assert_array_equal(array(layer(x, EDGES, training=False)), plain)
    assert not np.allclose(array(layer(x, EDGES, training=True)), plain)


@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        ({"units": 0}, {}, "`units` must be a positive integer"),
        ({"num_heads": 1.5}, {}, "`num_heads`"),
        ({"dropout": 1.0}, {}, r"`dropout` must be a number in \[0, 1\)"),
        ({"feature_dropout": -0.1}, {}, "`feature_dropout`"),
        ({"scoring": "dot"}, {}, "`scoring` must be one of"),
        ({"negative_slope": None}, {}, "`negative_slope`"),
        ({}, {"edges": None}, "one of the arguments `edges`"),
        ({}, {"edge_index": EDGES.T}, "one of the arguments `edges`"),
        ({}, {"edges": EDGES.T}, r"`edges` must be an integer tensor \(m, 2\)"),
        ({}, {"edges": EDGES.astype("float32")}, "`edges` must be an integer tensor"),
        ({}, {"edges": np.array([[0, 6]])}, "indices of the 6 nodes"),
        ({}, {"edges": np.array([[-1, 0]])}, "from -1 to 0"),
        ({}, {"edge_mask": np.ones(3, bool)}, "`edge_mask` must have one value"),
        ({}, {"node_mask": np.ones(3, bool)}, "`node_mask` must have one value"),
        ({}, {"edge_features": features(7, 2)}, "called with them"),
        ({"edge_features": True}, {}, "called without them"),
        ({"edge_features": True}, {"edge_features": features(3)}, "`edge_features`"),
        ({}, {"features": features()[None]}, r"`features` must be of shape \(n, F\)"),
    ],
)
def test_what_is_wrong_is_named(options, call, message):
    with pytest.raises(ValueError, match=message):
        layer = keras_align.GraphAttention(**{"units": 4, **options})
        layer(**{"features": features(), "edges": EDGES, **call})
