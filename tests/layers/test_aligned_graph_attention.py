"""`AlignedGraphAttention`: its plain layer in inference, its loss in training."""

import keras
import numpy as np
import oracles
import pytest
from execution import array
from small_graphs import EDGES, features

import keras_align

ALIGNMENTS = ("ct", "gan", "ot", "mmd")
SCORINGS = ("gat", "gatv2")


WIDE = keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=2.0)


def aligned(alignment="mmd", **options):
    keras.utils.set_random_seed(2)
    options = {"units": 4, "num_heads": 3} | options
    return keras_align.AlignedGraphAttention(**options, alignment=alignment)


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_it_is_the_plain_layer_in_inference(scoring, alignment):
    keras.utils.set_random_seed(2)
    plain = keras_align.GraphAttention(4, 3, scoring=scoring)
    expected = array(plain(features(), EDGES))
    layer = aligned(alignment, scoring=scoring)
    np.testing.assert_array_equal(array(layer(features(), EDGES)), expected)
    assert not layer.losses
    names = [w.name for w in layer.weights[: len(plain.weights)]]
    assert names == [w.name for w in plain.weights]


def test_queries_and_keys_are_products_with_the_attention_vectors():
    layer, x = aligned(WIDE, alignment_weight=1.0, use_bias=False), features()
    layer(x, EDGES, training=True)
    value = (x @ array(layer.kernel)).reshape(6, 3, 4)
    query, key = (
        value * array(layer.query_attention),
        value * array(layer.key_attention),
    )
    expected = oracles.maximum_mean_discrepancy(query[None], key[None], bandwidth=2.0)
    np.testing.assert_allclose(
        float(layer.losses[0]), np.mean(expected), rtol=1e-4, atol=1e-7
    )


def test_queries_and_keys_of_gatv2_are_the_projections():
    layer, x = aligned(WIDE, alignment_weight=1.0, scoring="gatv2"), features()
    layer(x, EDGES, training=True)
    query = (x @ array(layer.query_kernel)).reshape(6, 3, 4)
    key = (x @ array(layer.key_kernel)).reshape(6, 3, 4)
    expected = oracles.maximum_mean_discrepancy(query[None], key[None], bandwidth=2.0)
    np.testing.assert_allclose(float(layer.losses[0]), np.mean(expected), rtol=1e-4)


def test_equal_attention_vectors_are_aligned():
    layer = aligned(alignment_weight=1.0)
    layer(features(), EDGES)
    layer.key_attention.assign(layer.query_attention)
    layer(features(), EDGES, training=True)
    np.testing.assert_allclose(float(layer.losses[0]), 0.0, atol=1e-6)


def test_padded_nodes_take_no_part():
    layer, x = aligned(WIDE, alignment_weight=1.0, scoring="gatv2"), features()
    layer(x, EDGES, training=True)
    expected = float(layer.losses[0])
    padded = np.concatenate([x, np.full((4, 5), 50.0, "float32")])
    layer(padded, EDGES, node_mask=np.arange(10) < 6, training=True)
    np.testing.assert_allclose(float(layer.losses[0]), expected, rtol=1e-5)


def test_at_most_max_tokens_nodes_are_compared():
    alignment = keras_align.MaximumMeanDiscrepancyAlignment(max_tokens=8)
    layer, seen = aligned(alignment), []
    call = type(layer.alignment).call

    class Watching(type(layer.alignment)):
        def call(self, query, key, **masks):
            seen.append((tuple(query.shape), tuple(key.shape)))
            return call(self, query, key, **masks)

    layer.alignment.__class__ = Watching
    layer(features(100), EDGES, training=True)
    assert seen == [((1, 8, 3, 4), (1, 8, 3, 4))]


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_config_makes_an_equal_layer(scoring):
    layer = aligned("ct", scoring=scoring, edge_features=True, dropout=0.1, seed=4,
                    kernel_regularizer="l2", alignment_weight=0.3)  # fmt: skip
    config = layer.get_config()
    again = keras_align.AlignedGraphAttention.from_config(config)
    assert again.get_config() == config
    assert again.alignment_weight == 0.3


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize("scoring", SCORINGS)
def test_eager_equals_xla(scoring):
    import tensorflow as tf

    layer, x = aligned("mmd", scoring=scoring, alignment_weight=1.0), features()
    layer(x, EDGES)

    def step(x, edges):
        outputs = layer(x, edges, training=True)
        return outputs, layer.losses[0]

    edges = tf.constant(EDGES.astype("int32"))
    for ours, compiled in zip(
        step(x, edges), tf.function(step, jit_compile=True)(x, edges), strict=True
    ):
        np.testing.assert_allclose(array(ours), array(compiled), rtol=1e-5, atol=1e-6)


def test_named_alignments_have_the_settings_of_graphs():
    assert aligned("gan").alignment.learning_rate_multiplier == 1.0
    assert aligned("ct").alignment.critic_learning_rate_multiplier == 0.06
    assert aligned("mmd").alignment.bandwidth == 0.1
    assert {aligned(name).alignment_weight for name in ALIGNMENTS} == {0.1}
    assert aligned("ot", alignment_weight=0.5).alignment_weight == 0.5


def test_a_given_alignment_keeps_its_settings():
    layer = aligned(WIDE)
    assert layer.alignment.bandwidth == 2.0
    assert layer.alignment_weight == 0.1
    config = keras.saving.serialize_keras_object(layer.alignment)
    assert aligned(config).alignment.bandwidth == 2.0


@pytest.mark.parametrize("each", [False, True])
def test_align_model_has_the_same_defaults(each):
    network = keras_align.models.GraphAttentionNetwork(4, 3)
    alignment = {"logits": "mmd", 0: "gan"} if each else "mmd"
    keras_align.align_model(network, alignment)
    logits = network.get_layer("logits")
    assert (logits.alignment.bandwidth, logits.alignment_weight) == (0.1, 0.1)


def test_other_layers_of_the_model_keep_their_defaults():
    inputs = keras.Input((8,)), keras.Input((2,), dtype="int32")
    nodes = keras_align.GraphAttention(4, 2, name="graph")(*inputs)
    tokens = keras.layers.Reshape((1, 8))(nodes)
    attended = keras.layers.MultiHeadAttention(2, 4, name="tokens")(tokens, tokens)
    model = keras_align.align_model(keras.Model(inputs, attended), "gan")
    weights = [model.get_layer(name).alignment_weight for name in ("graph", "tokens")]
    multipliers = [
        model.get_layer(name).alignment.learning_rate_multiplier
        for name in ("graph", "tokens")
    ]
    plain = keras_align.AdversarialAlignment()
    assert weights == [0.1, plain.default_weight]
    assert multipliers == [1.0, plain.learning_rate_multiplier]
