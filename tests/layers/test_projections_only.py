"""`projections_only`: the loss trains the projections, not the layers below."""

import keras
import numpy as np
import pytest
import small_models
from attention_classes import Usual
from execution import MODES, QUICK_STEP, value_and_gradients
from keras import ops

import keras_align
from keras_align.adapters import register_attention
from keras_align.alignments import (
    get_alignment,
    register_alignment,
    serialize_alignment,
)

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
    whole, everywhere = gradients(make, cls(projections_only=False))
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


@pytest.mark.slow_on("jax")
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
    assert get_alignment(config).projections_only is None


@pytest.mark.parametrize("value", [None, True, False])
def test_copies_and_configs_keep_each_value(value):
    alignment = keras_align.ConditionalTransportAlignment(projections_only=value)
    for same in (alignment, serialize_alignment(alignment)):
        assert get_alignment(same).projections_only is value


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("name", ["ct", "gan", "ot", "mmd"])
def test_what_a_named_alignment_trains(name):
    found = gradients(multi_head, name)[1]
    assert np.any(found["inputs"]) == (name == "mmd")
    for make in (graph, of_user):
        assert np.any(gradients(make, name)[1]["inputs"])


def test_none_is_what_the_layer_can():
    of_class = keras_align.ConditionalTransportAlignment
    (_, alone), (_, expected) = (
        gradients(multi_head, of_class(projections_only=value))
        for value in (None, True)
    )
    assert not np.any(alone["inputs"])
    for found, same in zip(alone.values(), expected.values(), strict=True):
        np.testing.assert_array_equal(found, same)
    own = Own(alignment=of_class(projections_only=None))
    own(X, training=True)
    assert len(own.losses) == 1


@pytest.mark.parametrize(
    "name, value, note",
    [
        *((name, value, "") for name in ("ct", "gan", "ot") for value in (None, True)),
        *((name, False, "all layers") for name in ("ct", "gan", "ot")),
        *(("mmd", None, ""), ("mmd", True, "projections only"), ("mmd", False, "")),
    ],
)
def test_the_report_says_what_is_not_usual(name, value, note):
    inputs = keras.Input(X.shape[1:])
    layer = multi_head(type(get_alignment(name))(projections_only=value))[0]
    model = keras.Model(inputs, layer(inputs, inputs))
    assert keras_align.alignment_report(model).rows[0].note == note


def test_the_report_says_that_an_own_layer_trains_all_layers():
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, Own(alignment="ct")(inputs))
    assert keras_align.alignment_report(model).rows[0].note == "all layers"


def test_a_subclass_that_does_not_know_the_argument_is_still_an_alignment():
    class Older(keras_align.Alignment):
        def __init__(self, scale=1.0, max_tokens=None, name=None, dtype="float32"):
            super().__init__(max_tokens, name=name, dtype=dtype)
            self.scale = scale

        def get_config(self):
            config = super().get_config()
            config.pop("trainable")
            return {**config, "scale": self.scale}

    assert get_alignment(Older(2.0)).scale == 2.0


@register_alignment("older_ct")
class OlderTransport(keras_align.ConditionalTransportAlignment):
    def __init__(self, scale=1.0, max_tokens=64, name=None, dtype="float32"):
        super().__init__(max_tokens=max_tokens, name=name, dtype=dtype)
        self.scale = scale

    def get_config(self):
        config = super().get_config()
        known = ("max_tokens", "name", "dtype", "projections_only")
        kept = {key: config[key] for key in known if key in config}
        return {**kept, "scale": self.scale}


def test_so_is_an_older_subclass_of_ct():
    for alignment in (OlderTransport(2.0), serialize_alignment(OlderTransport(2.0))):
        assert get_alignment(alignment).scale == 2.0
    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment="older_ct")
    assert type(layer).from_config(layer.get_config()).alignment.scale == 1.0


def test_a_default_of_a_subclass():
    class Alone(keras_align.Alignment):
        default_projections_only = True

        def call(self, query, key, query_mask=None, key_mask=None):
            gap = ops.mean(query, axis=1) - ops.mean(key, axis=1)
            return ops.sum(ops.square(gap), axis=-1)

    for value in (None, True, False):
        alignment = get_alignment(Alone(projections_only=value))
        assert alignment.projections_only is value
        inputs = gradients(multi_head, alignment)[1]["inputs"]
        assert np.any(inputs) == (value is False)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="`projections_only` must be a bool or None"):
        keras_align.ConditionalTransportAlignment(projections_only="no")


class Own(keras_align.AlignedAttention):
    """Hands over queries and keys that it has projected."""

    num_heads, head_dim = 2, 4

    def call(self, x):
        x = ops.reshape(x, (-1, 6, 2, 4))
        self.add_alignment_loss(x, x)
        return x


def test_a_layer_that_hands_over_its_projections_cannot_repeat_them():
    alignment = keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
    with pytest.raises(ValueError, match="`alignment`: layer .* of class Own hands"):
        Own(alignment=alignment)
    layer = Own(alignment="mmd")
    layer.alignment.projections_only = True
    with pytest.raises(ValueError, match="projections_only=True"):
        layer(X, training=True)


def test_a_model_with_such_a_layer_stays_as_it_was():
    inputs = keras.Input(X.shape[1:])
    x = keras.layers.MultiHeadAttention(2, 4)(inputs, inputs)
    model = keras.Model(inputs, Own(alignment=None)(x))
    before = [type(layer) for layer in model.layers]
    with pytest.raises(ValueError, match="projections_only=True"):
        keras_align.align_model(
            model, keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
        )
    assert [type(layer) for layer in model.layers] == before
    assert model.layers[-1].alignment is None


@register_attention
class Restless(Usual):
    """Normalises its inputs, counts its calls and keeps its scores."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(0.5)
        self.tokens = keras.metrics.Sum("tokens")

    def build(self, shape):
        super().build(shape)
        self.norm.build(shape)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=None):
        self.calls.assign_add(1.0)
        if keras.backend.backend() != "jax":  # Keras keeps no metrics of layers there
            self.tokens.update_state(ops.ones(ops.shape(x)[:2]))
        x = self.drop(self.norm(x, training=training), training=training)
        self.scores = ops.matmul(self.query(x), ops.swapaxes(self.key(x), -2, -1))
        return ops.matmul(ops.softmax(self.scores), x)


class Twice(keras.Model):
    """Calls one layer twice, and adds a loss of what the layer keeps."""

    def __init__(self, layer):
        super().__init__()
        self.below, self.attention = keras.layers.Dense(8), layer

    def call(self, x, training=None):
        x = self.below(x)
        restless = isinstance(self.attention, Restless)
        for _ in range(2):
            arguments = (x,) if restless else (x, x)
            x = self.attention(*arguments, training=training)
        if restless:
            self.add_loss(1e-3 * ops.mean(ops.square(self.attention.scores)))
        return x


def train(layer, alignment):
    """Logs of three steps, and what the model then holds but for the alignment."""
    keras.utils.set_random_seed(0)
    model = Twice(layer())
    model(X)
    if alignment is not None:
        keras_align.align_model(model, alignment, alignment_weight=0.0)
    model.compile(keras.optimizers.SGD(0.1), "mse", **QUICK_STEP)
    logs = [model.train_on_batch(X, X, return_dict=True) for _ in range(3)]
    values = [[x for name, x in each.items() if "align" not in name] for each in logs]
    weights = [w for w in model.weights if "alignment" not in w.path]
    return values, [ops.convert_to_numpy(w) for w in weights]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Restless(num_heads=2, head_dim=4),
        lambda: keras.layers.MultiHeadAttention(2, 4, dropout=0.5),
    ],
    ids=["restless", "keras"],
)
def test_the_repeated_call_leaves_nothing_behind(layer):
    """At a weight of 0 training is that of the plain model: dropout, statistics."""
    expected_logs, weights = train(layer, None)
    only = keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
    logs, ours = train(layer, only)
    np.testing.assert_allclose(logs, expected_logs, rtol=1e-5)
    for each, expected in zip(ours, weights, strict=True):
        np.testing.assert_allclose(each, expected, 1e-4, 1e-6)


@register_attention
class Padded(Usual):
    """Its projections take queries and keys of mean 0 over the real tokens."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.norm = keras.layers.BatchNormalization()

    def build(self, shape):
        super().build(shape)
        self.norm.build(shape)

    def call(self, x, training=None):
        return super().call(self.norm(x, training=training))


def test_the_repeated_call_sees_the_masks_on_its_inputs():
    padded = X.copy()
    padded[:, 3:] = 0.0
    cls = keras_align.MaximumMeanDiscrepancyAlignment
    losses = []
    for value in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(X.shape[1:])
        masked = keras.layers.Masking()(inputs)
        model = keras.Model(inputs, Padded(num_heads=2, head_dim=4)(masked))
        model = keras_align.align_model(model, cls(projections_only=value))
        model(padded, training=True)
        losses.append(float(model.losses[0]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


class Pruned(keras.layers.Dense):
    """Its kernel is multiplied by a constant weight."""

    def build(self, shape):
        super().build(shape)
        self.keep = self.add_weight(
            shape=self.kernel.shape, initializer="ones", trainable=False
        )

    def call(self, x):
        return ops.matmul(x, self.kernel * self.keep) + self.bias


def test_constant_weights_in_projections():
    """PyTorch counts each write of what a backward pass reads."""
    layer = Usual(num_heads=2, head_dim=4)
    layer.query, layer.key = Pruned(8), Pruned(8)
    model = keras.Sequential([keras.Input(X.shape[1:]), layer])
    only = keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
    model = keras_align.align_model(model, only)
    model.compile("sgd", "mse", **QUICK_STEP)
    assert np.isfinite(model.fit(X, X, verbose=0).history["loss"][0])


def test_scales_of_float8_are_updated_once():
    inputs = keras.Input(X.shape[1:])
    layer = keras.layers.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(inputs, layer(inputs, inputs))
    layer.query_dense.quantize("float8")
    keras_align.align_model(model, "ct")
    assert keras_align.alignment_report(model).rows[0].note == "all layers"
    if keras.backend.backend() == "torch":  # Keras's `fit` fails on TensorFlow
        model.compile("sgd", "mse", **QUICK_STEP)
        model.fit(X, X, verbose=0)
        largest = ops.convert_to_numpy(layer.query_dense.inputs_amax_history)
        assert np.max(largest) == pytest.approx(np.max(np.abs(X)), rel=1e-5)
    layer.alignment.projections_only = True
    with pytest.raises(ValueError, match="quantized to float8"):
        model(X, training=True)


def test_both_calls_draw_the_same_numbers():
    """The nodes whose queries are aligned are those that the attention sees."""
    cls = keras_align.MaximumMeanDiscrepancyAlignment
    edges = np.array([[0, 1], [1, 2], [2, 0]])
    losses = []
    for value in (False, True):
        keras.utils.set_random_seed(0)
        layer = keras_align.AlignedGraphAttention(
            *(4, 2), dropout=0.5, seed=1, alignment=cls(projections_only=value)
        )
        for _ in range(2):
            layer(X[0], edges, training=True)
            losses.append(float(layer.losses[0]))
    np.testing.assert_allclose(losses[2:], losses[:2], rtol=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-6


def test_what_is_trained_before_the_projections_is_below_them():
    """And a tensor that hides in an object leaks no gradient."""

    class Box:
        def __init__(self, x):
            self.x = x

    class Hidden(Usual):
        def call(self, x, box=None):
            return super().call(box.x)

    keras_align.register_attention(Hidden)
    inputs = keras.Input(X.shape[1:])
    layer = Hidden(num_heads=2, head_dim=4)
    model = keras.Model(inputs, layer(inputs, box=Box(inputs)))
    model = keras_align.align_model(
        model, keras_align.MaximumMeanDiscrepancyAlignment(**ONLY)
    )

    def loss(x):
        layer(x, box=Box(x), training=True)
        return layer.losses[-1]

    _, (gradient, *_) = value_and_gradients(loss, X)
    assert not np.any(gradient)
