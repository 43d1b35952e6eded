"""The alignment loss in training: how often, how much, and what the logs say."""

import functools

import contracts
import keras
import numpy as np
import pytest
from contracts import functional, tokens
from execution import (
    BACKEND,
    JIT,
    MODES,
    QUICK_STEP,
    value_and_gradients,
)
from keras import layers, ops

import keras_align

every_layer = pytest.mark.parametrize(
    "subject", contracts.SUBJECTS.values(), ids=contracts.SUBJECTS
)
X = tokens(5, batch=4)
STILL = keras.optimizers.SGD


def divergence(layer, x):
    """Mean divergence of self-attention on `x`, from the layer's own parts."""
    query, key = layer._query_dense(x), layer._key_dense(x)
    query, key, *_ = layer._match_heads(query, _repeated(layer, key), None, None)
    return float(ops.mean(layer.alignment(query, key)))


def _repeated(layer, key):
    return ops.repeat(key, getattr(layer, "num_repeats", 1), axis=2)


def compiled(model, optimizer=None, **options):
    """A model whose weights stay, so that a step can be computed again."""
    model.compile(optimizer or STILL(0.0), "mse", **{**QUICK_STEP, **options})
    return model


def test_logs_are_the_sum_of_the_layers_and_the_loss_contains_it():
    inputs = keras.Input((5, 8))
    first = contracts.MULTI_HEAD.make("mmd", alignment_weight=0.5, name="first")
    second = contracts.GROUPED_QUERY.make("mmd", alignment_weight=2.0, name="second")
    middle = first(inputs, inputs)
    model = compiled(keras.Model(inputs, second(middle, middle)))
    y = tokens(5, batch=4, seed=1)
    history = model.fit(X, y, epochs=2, verbose=0, validation_data=(X, y)).history
    of_first, of_second = divergence(first, X), divergence(second, first(X, X))
    expected = of_first + of_second
    assert history["alignment_loss"] == pytest.approx([expected] * 2, rel=1e-5)
    error = np.mean((model.predict(X, verbose=0) - y) ** 2)
    weighted = 0.5 * of_first + 2.0 * of_second
    assert history["loss"] == pytest.approx([error + weighted] * 2, rel=1e-5)
    assert history["val_loss"] == pytest.approx([error] * 2, rel=1e-5)
    assert set(history) == {"loss", "alignment_loss", "val_loss"}
    assert model.evaluate(X, y, verbose=0) == pytest.approx(error, rel=1e-5)
    assert not model.losses

    model.fit(X, y, verbose=0)
    assert float(first.alignment_loss) == pytest.approx(of_first, rel=1e-5)
    assert float(second.alignment_loss) == pytest.approx(of_second, rel=1e-5)
    model(X, training=True)  # after fit has traced: no tensor of a graph is kept
    assert sum(map(float, model.losses)) == pytest.approx(weighted, rel=1e-5)


def test_layers_log_their_own_loss_on_request():
    inputs = keras.Input((5, 8))
    first = contracts.MULTI_HEAD.make("mmd", name="first")
    second = contracts.MULTI_HEAD.make("mmd", name="second")
    middle = first(inputs, inputs)
    model = compiled(keras.Model(inputs, second(middle, middle)))
    second.log_alignment_loss = True
    logs = model.fit(X, X, verbose=0).history
    assert set(logs) == {"loss", "alignment_loss", "alignment_loss/second"}
    of_second = divergence(second, first(X, X))
    assert logs["alignment_loss/second"] == pytest.approx([of_second], rel=1e-5)
    with pytest.raises(ValueError, match="`log_alignment_loss`"):
        contracts.MULTI_HEAD.make(None).log_alignment_loss = True


def test_layers_of_one_name_log_under_two():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.attention = contracts.MULTI_HEAD.make("mmd", name="attention")
            self.attention.log_alignment_loss = True

        def call(self, x):
            return self.attention(x, x)

    inputs = keras.Input((5, 8))
    first, second = Block(), Block()
    model = compiled(keras.Model(inputs, second(first(inputs))))
    logs = model.fit(X, X, verbose=0).history
    for name, block in (("attention", first), ("attention_2", second)):
        expected = float(block.attention.alignment_loss)
        assert logs[f"alignment_loss/{name}"] == pytest.approx([expected], rel=1e-6)


def test_epoch_is_the_mean_of_its_steps():
    model = functional(contracts.MULTI_HEAD.make("mmd"))
    compiled(model, run_eagerly=False)
    logs = model.fit(X, X, batch_size=2, shuffle=False, verbose=0).history
    halves = [divergence(model.layers[-1], X[part]) for part in (slice(2), slice(2, 4))]
    assert logs["alignment_loss"] == pytest.approx([np.mean(halves)], rel=1e-5)


def test_mixed_precision_counts_every_step():
    """In bfloat16 the count of the first call would stand still."""
    options = {"alignment_weight": 1.0, "dtype": "mixed_bfloat16"}
    layer = contracts.MULTI_HEAD.make("mmd", **options)
    many = np.tile(X, (512, 1, 1))
    for x in (many, X, X):
        layer(x, x, training=True)
    _, count = layer._alignment_tracker.totals()
    assert float(count) == (512 + 2) * len(X) * layer.num_heads  # divergences
    expected = float(layer.losses[0])
    assert layer.alignment_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("alignment", contracts.ALIGNMENTS)
def test_mixed_precision_logs_what_is_added(alignment):
    options = {"alignment_weight": 1.0, "dtype": "mixed_bfloat16"}
    layer = contracts.MULTI_HEAD.make(alignment, **options)
    layer(X, X, training=True)
    assert float(layer.alignment_loss) == float(layer.losses[0])


def test_what_is_computed_again_counts_once():
    """As a `keras.RematScope` does, outside of a call of Keras."""
    layer = contracts.MULTI_HEAD.make("mmd")
    layer.build(X.shape, X.shape)
    layer.call(X, X, training=True)
    assert layer.alignment_loss is None and len(layer.losses) == 1


class Repeated(layers.Layer):
    """Calls one attention layer several times, as ALBERT does."""

    def __init__(self, attention, times):
        super().__init__()
        self.attention, self.times = attention, times

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x, training=None):
        for _ in range(self.times):
            x = self.attention(x, x, training=training)
        return x

    def compute_output_shape(self, shape):
        return shape


@every_layer
@pytest.mark.parametrize("how", ["parent", "functional", "parent in functional"])
def test_a_shared_layer_counts_as_the_mean_of_its_calls(subject, how):
    attention = subject.make("mmd", alignment_weight=3.0)
    if how == "parent":
        model = Repeated(attention, 3)
        model(X)
    else:
        step = Repeated(attention, 1) if how == "parent in functional" else attention
        x = inputs = keras.Input((5, 8))
        for _ in range(3):
            x = step(x) if how == "parent in functional" else step(x, x)
        model = keras.Model(inputs, x)
    x, each = X, []
    for _ in range(3):
        each.append(divergence(attention, x))
        x = attention(x, x)
    for _ in range(2):  # the second step begins anew
        model(X, training=True)
        total = sum(float(loss) for loss in model.losses)
        assert total == pytest.approx(3.0 * np.mean(each), rel=1e-5)
    model(X, training=False)
    assert not model.losses


def test_activity_regularizer_counts_once():
    options = {"activity_regularizer": "l2", "kernel_regularizer": "l1"}
    aligned, plain = contracts.MULTI_HEAD.pair("mmd", X, X, **options)
    aligned(X, X, training=True), plain(X, X, training=True)
    alignment = aligned.alignment_weight * divergence(aligned, X)
    aligned(X, X, training=True)
    received = sum(float(loss) for loss in aligned.losses)
    expected = sum(float(loss) for loss in plain.losses)
    assert len(aligned.losses) == len(plain.losses) + 1
    assert received == pytest.approx(expected + alignment, rel=1e-5)


@pytest.mark.slow_on("jax")
@every_layer
def test_eager_equals_graph_equals_xla(subject):
    """Task and alignment loss, and the gradients of all weights."""
    layer = subject.make("mmd", alignment_weight=0.5)
    layer(X, X)

    def total(x):
        error = ops.mean(ops.square(layer(x, x, training=True)))
        return error + layer.losses[0]

    weights = layer.trainable_variables
    results = [
        value_and_gradients(total, X, watch=weights, mode=mode) for mode in MODES
    ]
    for value, gradients in results[1:]:
        np.testing.assert_allclose(value, results[0][0], rtol=1e-5)
        for gradient, wanted in zip(gradients, results[0][1], strict=True):
            np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


@every_layer
@pytest.mark.parametrize("alignment", contracts.ALIGNMENTS)
def test_the_gradient_reaches_queries_keys_and_the_alignment(subject, alignment):
    layer = subject.make(alignment, alignment_weight=1.0)
    layer(X, X)
    for weight in layer.alignment.weights:  # some start at zero
        weight.assign(np.random.default_rng(0).normal(0.0, 0.1, weight.shape))
    x = ops.convert_to_tensor(X)

    def alignment_only(x):
        layer(x, x, training=True)
        return layer.losses[0]

    weights = layer.trainable_variables
    _, gradients = value_and_gradients(alignment_only, x, watch=weights)
    reached = {
        contracts.name_within(weight, layer)
        for weight, gradient in zip(weights, gradients[1:], strict=True)
        if gradient.any()
    }
    assert {"query/kernel", "query/bias", "key/kernel", "key/bias"} <= reached
    assert not any(name.startswith(("value", "attention_output")) for name in reached)
    own = {contracts.name_within(weight, layer) for weight in layer.alignment.weights}
    assert own <= reached


FLOAT16 = pytest.param("mixed_float16", marks=pytest.mark.slow)
POLICIES = ["float32", "mixed_bfloat16", FLOAT16]


@functools.cache
def logs_of_two_steps(policy, **how):
    """What `fit` logs while the weights move."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = functional(contracts.MULTI_HEAD.make("mmd", alignment_weight=1.0))
    model.compile(keras.optimizers.SGD(0.1), "mse", **how)
    return model.fit(X, X, epochs=2, verbose=0).history


# JAX multiplies no float16 on CPUs in a backward pass.
@pytest.mark.parametrize("policy", POLICIES[: 2 if BACKEND == "jax" else 3])
def test_logs_under_xla_and_mixed_precision(policy):
    """Half precision comes close to single."""
    wanted = logs_of_two_steps("float32", **QUICK_STEP)
    received = logs_of_two_steps(policy, jit_compile=JIT)
    expected = {"loss", "alignment_loss"}
    assert set(received) == set(wanted) == expected
    rel = 1e-4 if policy == "float32" else 2e-2
    for name, values in wanted.items():
        assert received[name] == pytest.approx(values, rel=rel)


def test_a_subclassed_model_logs_too():
    """Layers below layers, of which one is not aligned."""

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Repeated(contracts.MULTI_HEAD.make("mmd"), 2)
            self.plain = contracts.GROUPED_QUERY.make(None)

        def call(self, x, training=None):
            x = self.block(x, training=training)
            return self.plain(x, x)

    model = compiled(Model())
    logs = model.fit(X, X, verbose=0).history
    attention = model.block.attention
    each = divergence(attention, X), divergence(attention, attention(X, X))
    assert logs["alignment_loss"] == pytest.approx([np.mean(each)], rel=1e-5)


def test_the_layer_is_a_keras_layer():
    assert issubclass(keras_align.AlignedMultiHeadAttention, layers.MultiHeadAttention)
    grouped = keras_align.AlignedGroupedQueryAttention
    assert issubclass(grouped, layers.GroupQueryAttention)
