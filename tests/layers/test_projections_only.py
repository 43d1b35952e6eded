"""`projections_only`: the loss trains the projections, not the layers below."""

import keras
import numpy as np
import pytest
import small_models
from attention_classes import Usual
from execution import MODES, QUICK_STEP, value_and_gradients
from keras import ops

import keras_align
from keras_align.alignments import get_alignment, serialize_alignment

ONLY = {"projections_only": True}
X = np.random.default_rng(0).normal(size=(3, 6, 8)).astype("float32")


def multi_head(alignment):
    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment=alignment)
    return layer, lambda x: layer(x, x, training=True)


def grouped(alignment):
    cls = keras_align.AlignedGroupedQueryAttention
    layer = cls(4, 4, 2, alignment=alignment)
    return layer, lambda x: layer(x, x, training=True)


def graph(alignment):
    layer = keras_align.AlignedGraphAttention(4, 2, alignment=alignment)
    edges = np.array([[0, 1], [1, 2], [2, 0]])
    return layer, lambda x: layer(x[0], edges, training=True)


def of_user(alignment):
    model = keras.Sequential([keras.Input(X.shape[1:]), Usual(2, 4)])
    model = keras_align.align_model(model, alignment)
    return model.layers[-1], lambda x: model(x, training=True)


def rotary(alignment):
    pytest.importorskip("keras_nlp")
    model = keras_align.align_model(small_models.decoder(), alignment)
    layers = model._flatten_layers()
    layer = next(x for x in layers if getattr(x, "alignment", None) is not None)
    return layer, lambda x: model(x, training=True)


def gradients(make, alignment, x=X, **options):
    """Of the loss of one layer, for its inputs and then for its weights."""
    keras.utils.set_random_seed(0)
    layer, call = make(alignment)
    call(x)
    draw = np.random.default_rng(0)  # the last layer of a discriminator starts at 0
    for weight in layer.alignment.trainable_variables:
        weight.assign(draw.normal(0.0, 0.5, weight.shape))
    weights = layer.trainable_variables

    def loss(x):
        call(x)
        return layer.losses[-1]

    value, found = value_and_gradients(loss, x, watch=weights, **options)
    return value, dict(zip(["inputs", *(w.path for w in weights)], found, strict=True))


@pytest.mark.slow_on("jax")  # compiles every case
@pytest.mark.parametrize("name", ["ct", "gan", "ot", "mmd"])
@pytest.mark.parametrize("make", [multi_head, grouped, graph, of_user])
def test_gradient_ends_at_the_inputs_of_the_projections(make, name):
    cls = type(get_alignment(name))
    whole, everywhere = gradients(make, cls())
    value, alone = gradients(make, cls(projections_only=True))
    compare((whole, everywhere), (value, alone))


def compare(of_all, of_projections):
    """The same loss and gradients, but for that of the inputs."""
    (whole, everywhere), (value, alone) = of_all, of_projections
    np.testing.assert_allclose(value, whole, rtol=1e-5)
    assert np.any(everywhere.pop("inputs")) and not np.any(alone.pop("inputs"))
    for (path, found), expected in zip(alone.items(), everywhere.values(), strict=True):
        size = np.max(np.abs(expected)) + 1e-6
        np.testing.assert_allclose(found, expected, 1e-4, 1e-5 * size, err_msg=path)


def test_rotary_positions_are_applied_to_what_is_aligned():
    x = small_models.vectors()
    cls = keras_align.MaximumMeanDiscrepancyAlignment
    compare(*(gradients(rotary, cls(projections_only=v), x) for v in (False, True)))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode):
    alignment = keras_align.MaximumMeanDiscrepancyAlignment(projections_only=True)
    _, found = gradients(multi_head, alignment, mode=mode)
    assert not np.any(found.pop("inputs"))
    assert any(np.any(each) for each in found.values())


def test_outputs_and_the_gradient_of_the_task_are_those_of_the_plain_layer():
    def make(alignment):
        keras.utils.set_random_seed(0)
        layer, call = multi_head(alignment)
        call(X)
        weights = [w for w in layer.trainable_variables if "alignment" not in w.path]
        return value_and_gradients(call, X, watch=weights)

    output, found = make(keras_align.ConditionalTransportAlignment(**ONLY))
    plain, expected = make(None)
    np.testing.assert_array_equal(output, plain)
    for each, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(each, other, rtol=1e-5, atol=1e-6)


def test_losses_of_the_repeated_call_do_not_count_twice():
    """Keras hands `activity_regularizer` on to the projections."""
    layer = keras_align.AlignedMultiHeadAttention(
        *(2, 4),
        activity_regularizer=keras.regularizers.L2(0.1),
        alignment=keras_align.MaximumMeanDiscrepancyAlignment(**ONLY),
    )
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, layer(inputs, inputs))
    plain = keras.layers.MultiHeadAttention(
        2, 4, activity_regularizer=keras.regularizers.L2(0.1)
    )
    other = keras.Model(inputs, plain(inputs, inputs))
    model(X, training=True), other(X, training=True)
    assert len(model.losses) == len(other.losses) + 1
    other.set_weights(model.get_weights())
    for each in (model, other):
        each.compile("sgd", "mse", **QUICK_STEP)
    target = np.zeros_like(X)
    layer.alignment_weight = 0.0
    ours, theirs = (each.train_on_batch(X, target) for each in (model, other))
    np.testing.assert_allclose(ours[0], theirs, rtol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_training_moves_the_projections_alone(policy):
    """With a task that asks for nothing, weights below stay as they are."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(X.shape[1:])
    x = keras.layers.Dense(8, name="below", dtype=policy)(inputs)
    alignment = keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
    layer = keras_align.AlignedMultiHeadAttention(
        2, 4, alignment=alignment, alignment_weight=1.0, dtype=policy, dropout=0.5
    )
    model = keras.Model(inputs, 0.0 * layer(x, x))
    below, query = model.get_layer("below").kernel, layer.query_dense.kernel
    before = [ops.convert_to_numpy(x) for x in (below, query)]
    model.compile(keras.optimizers.SGD(1.0), "mse", **QUICK_STEP)
    model.fit(X, np.zeros_like(X), epochs=3, verbose=0)
    np.testing.assert_array_equal(below, before[0])
    assert np.max(np.abs(ops.convert_to_numpy(query) - before[1])) > 1e-3


def test_config_keeps_it_and_an_older_config_lacks_it():
    alignment = keras_align.ConditionalTransportAlignment(**ONLY)
    config = serialize_alignment(alignment)
    assert get_alignment(config).projections_only
    del config["config"]["projections_only"]
    assert not get_alignment(config).projections_only
    assert not get_alignment("ct").projections_only


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="`projections_only` must be a bool"):
        keras_align.ConditionalTransportAlignment(projections_only="no")


def test_a_layer_that_hands_over_its_projections_cannot_repeat_them():
    class Own(keras_align.AlignedAttention):
        num_heads, head_dim = 2, 4

        def call(self, x):
            x = ops.reshape(x, (-1, 6, 2, 4))
            self.add_alignment_loss(x, x)
            return x

    alignment = keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
    with pytest.raises(ValueError, match="projections_only=True"):
        Own(alignment=alignment)(X, training=True)
