"""`GraphAttention` against NumPy, and what must hold for every graph."""

import graph_oracle
import keras
import numpy as np
import pytest
from execution import array, value_and_gradients
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
    # Products of other numbers of rows may be rounded otherwise.
    np.testing.assert_allclose(padded[:6], outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(padded[6:], 0.0)


def test_a_union_of_graphs_is_each_of_them():
    layer, x = keras_align.GraphAttention(4, 2), features()
    other = features(3, seed=5)
    union = np.concatenate([EDGES, np.array([[0, 1], [2, 1]]) + 6])
    outputs = array(layer(np.concatenate([x, other]), union))
    near = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(outputs[:6], array(layer(x, EDGES)), **near)
    apart = layer(other, np.array([[0, 1], [2, 1]]))
    np.testing.assert_allclose(outputs[6:], array(apart), **near)


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
    """Also for scores that float16 cannot hold, and for a node with 1,000 edges."""
    options = {"scoring": scoring, "units": 4, "num_heads": 2}
    layer = keras_align.GraphAttention(**options, dtype="mixed_float16")
    x = features(1000).astype("float16").astype("float32")
    others = np.random.default_rng(3).integers(0, 1000, (2000, 2))
    to_one = np.stack([np.arange(1000), np.zeros(1000)], 1)
    edges = np.concatenate([to_one, others]).astype("int32")
    layer(x, edges)
    for weight in layer.trainable_weights:
        factor = scale if "attention" in weight.name else 1.0
        weight.assign((array(weight) * factor).astype("float16"))
    weights = {w.name: array(w) for w in layer.trainable_weights}
    expected, _ = graph_oracle.graph_attention(weights, x, edges, scoring)
    found = array(layer(x, edges))
    assert np.isfinite(found).all()
    close = np.isclose(found, expected, atol=2e-2).all(axis=1)
    # Where two scores are nearly equal, their rounding decides if they are large.
    assert close.mean() > (0.97 if scale > 1.0 else 0.999)


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
    _, found = value_and_gradients(lambda *values: loss(values), *values)
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


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("initializer", [None, 3])
def test_no_two_weights_begin_equal(scoring, initializer):
    made = keras.initializers.GlorotUniform(seed=initializer)
    layer = keras_align.GraphAttention(
        4, 3, scoring=scoring, use_bias=False,
        kernel_initializer=made, attention_initializer=made,
    )  # fmt: skip
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


@pytest.mark.parametrize("shape", [(6, 4), (6, 6), (6, 6, 5), (1, 6, 5)])
def test_other_features_than_it_was_built_for_are_refused(shape):
    layer = keras_align.GraphAttention(4)
    layer(features(), EDGES)
    for wrong in (np.ones(shape, "float32"), keras.Input(shape[1:])):
        with pytest.raises(ValueError, match=r"`features` must be of shape \(n, 5\)"):
            layer(wrong, EDGES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of the arguments `edges`"),
        ({"edges": keras.Input((2,))}, "`edges` must be an integer tensor"),
        ({"edges": keras.Input((3,), dtype="int32")}, r"`edges` must .* \(m, 2\)"),
    ],
)
def test_symbolic_calls_name_what_is_wrong(given, message):
    with pytest.raises(ValueError, match=message):
        keras_align.GraphAttention(4)(keras.Input((5,)), **given)


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("scoring", SCORINGS)
def test_padded_edges_have_any_features(scoring, self_loops):
    layer = keras_align.GraphAttention(
        4, 3, scoring=scoring, edge_features=True, add_self_loops=self_loops
    )
    x, of_edges = features(), features(len(EDGES), 2, seed=2)
    mask = np.arange(len(EDGES)) != 4

    def result(of_edges):
        return value_and_gradients(
            lambda: layer(x, EDGES, edge_features=of_edges, edge_mask=mask),
            watch=layer.trainable_weights,
        )

    layer(x, EDGES, edge_features=of_edges)
    expected, gradients = result(of_edges)
    of_edges[4] = np.nan
    found, same = result(of_edges)
    np.testing.assert_array_equal(found, expected)
    for ours, theirs in zip(same, gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_edge_features_of_integers_are_numbers():
    layer = keras_align.GraphAttention(4, 3, edge_features=True)
    whole = np.arange(len(EDGES) * 2).reshape(-1, 2)
    expected = array(layer(features(), EDGES, edge_features=whole.astype("float32")))
    found = array(layer(features(), EDGES, edge_features=whole))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_masks_of_numbers_are_those_of_booleans(dtype):
    layer, x = keras_align.GraphAttention(4, 3), features()
    masks = {"edge_mask": np.arange(7) < 5, "node_mask": np.arange(6) < 4}
    expected = array(layer(x, EDGES, **masks))
    numbers = {name: mask.astype(dtype) for name, mask in masks.items()}
    np.testing.assert_array_equal(array(layer(x, EDGES, **numbers)), expected)


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout", "feature_dropout"])
def test_dropout_acts_in_training_alone(rate):
    layer, x = keras_align.GraphAttention(4, 2, seed=1, **{rate: 0.5}), features()
    plain = array(layer(x, EDGES))
    np.testing.assert_array_equal(array(layer(x, EDGES, training=False)), plain)
    assert not np.allclose(array(layer(x, EDGES, training=True)), plain)


@pytest.mark.parametrize("rate", ["attention_dropout", "feature_dropout"])
def test_scores_see_what_is_dropped_after_them(rate):
    layer, x = keras_align.GraphAttention(4, 2, seed=1, **{rate: 0.5}), features()
    call = {"return_attention_scores": True}
    _, plain = layer(x, EDGES, **call)
    _, dropped = layer(x, EDGES, training=True, **call)
    np.testing.assert_array_equal(array(dropped), array(plain))


def test_attention_dropout_is_of_edges_and_keeps_the_mean():
    layer = keras_align.GraphAttention(2, attention_dropout=0.25, add_self_loops=False)
    x = np.repeat(features(1), 4000, axis=0)
    edges = np.stack([np.arange(4000), np.zeros(4000)], 1).astype("int32")
    value = array(layer(x, edges))[0]
    kept = array(layer(x, edges, training=True))[0] / value
    assert kept[0] == pytest.approx(kept[1], rel=1e-4)  # an edge as a whole
    assert 0.95 < kept[0] < 1.05 and kept[0] != 1.0


def test_feature_dropout_is_of_nodes():
    layer = keras_align.GraphAttention(
        64, feature_dropout=0.25, add_self_loops=False, seed=1
    )
    x, edges = features(), np.array([[0, 1], [0, 2]])
    plain = array(layer(x, edges))[1]
    first, second = array(layer(x, edges, training=True))[1:3]
    np.testing.assert_array_equal(first, second)  # both see the same node
    ratio = first / plain
    assert set(np.round(ratio, 3)) == {0.0, np.float32(1.333)}


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
        ({}, {"edges": EDGES[:, :1]}, "`edges` must be an integer tensor"),
        ({}, {"features": features()[None]}, r"`features` must be of shape \(n, F\)"),
    ],
)
def test_what_is_wrong_is_named(options, call, message):
    with pytest.raises(ValueError, match=message):
        layer = keras_align.GraphAttention(**{"units": 4, **options})
        layer(**{"features": features(), "edges": EDGES, **call})
