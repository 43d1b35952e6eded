"""Gradient reversal and `Adversary`."""

import keras
import numpy as np
import pytest
from execution import BACKEND, MODES, array, dtype_of, value_and_gradients
from keras import ops

from keras_align import Adversary, reverse_gradient
from keras_align.alignments.networks import Discriminator

LARGEST = {"float16": 65504.0, "bfloat16": 3.38e38, "float32": 3.4e38, "float64": 1e300}
if BACKEND == "jax":
    del LARGEST["float64"]  # it has none by default


@pytest.mark.parametrize("scale", [0.0, 1.0, 0.3, 7.0])
@pytest.mark.parametrize("dtype", LARGEST)
def test_forward_is_exact(dtype, scale):
    largest = LARGEST[dtype]
    values = [0.0, -0.0, 1e-7, 1.0, -1.0 / 3.0, 1234.5, largest, -largest]
    wide = "float64" if dtype == "float64" else "float32"
    x = ops.cast(np.array(values, wide), dtype)
    reversed_x = reverse_gradient(x, scale)
    assert dtype_of(reversed_x) == dtype_of(x) == dtype
    np.testing.assert_array_equal(array(reversed_x), array(x))


@pytest.mark.parametrize("mode", MODES)
def test_gradient_is_reversed_and_scaled(mode):
    x = np.float32([1.0, -2.0, 3.0])
    for scale in (1.0, 0.25, 0.0):
        _, (gradient,) = value_and_gradients(
            lambda x, scale=scale: ops.square(reverse_gradient(x, scale)), x, mode=mode
        )
        np.testing.assert_allclose(gradient, -scale * 2.0 * x, rtol=1e-6)


def test_scale_may_be_a_variable():
    scale = keras.Variable(2.0, trainable=False)
    x = np.float32([1.0, 2.0])
    for value in (2.0, 0.5):
        scale.assign(value)
        _, (gradient,) = value_and_gradients(lambda x: reverse_gradient(x, scale), x)
        np.testing.assert_allclose(gradient, -value)


def network():
    return keras.Sequential(
        [keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)]
    )


def test_input_gets_the_true_gradient_and_the_weights_the_negated_one():
    net = network()
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    adversary = Adversary(net)
    value = adversary(x)
    np.testing.assert_array_equal(array(value), array(net(x)))
    weights = net.trainable_variables
    _, plain = value_and_gradients(lambda x: ops.square(net(x)), x, watch=weights)
    _, against = value_and_gradients(
        lambda x: ops.square(adversary(x)), x, watch=weights
    )
    np.testing.assert_allclose(against[0], plain[0], rtol=1e-6)
    assert len(plain) == 5 and all(each.any() for each in plain)
    for received, true in zip(against[1:], plain[1:], strict=True):
        np.testing.assert_allclose(received, -true, rtol=1e-6)


def test_minimiser_makes_it_maximise():
    """One optimizer lowers the loss for the input and raises it for the network."""
    adversary = Adversary(keras.layers.Dense(1, use_bias=False))
    adversary.build((None, 2))
    x = np.float32([[1.0, 1.0]])
    before = float(adversary(x)[0, 0])
    _, (_, gradient) = value_and_gradients(
        adversary, x, watch=adversary.trainable_variables
    )
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.apply([ops.convert_to_tensor(gradient)], adversary.trainable_variables)
    assert float(adversary(x)[0, 0]) == pytest.approx(before + 0.1 * 2.0, rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_with_constant_weights(mode):
    adversary = Adversary(network())
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    adversary.build(x.shape)
    wanted, (gradient,) = value_and_gradients(adversary, x, mode=mode)
    weights = adversary.trainable_variables
    value, received = value_and_gradients(
        adversary.with_constant_weights, x, watch=weights[:0], mode=mode
    )
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    np.testing.assert_allclose(received[0], gradient, rtol=1e-6)
    function = adversary.with_constant_weights
    _, (_, *of_weights) = value_and_gradients(function, x, watch=weights, mode=mode)
    assert len(of_weights) == 4 and not any(each.any() for each in of_weights)


@pytest.mark.parametrize("mode", MODES)
def test_with_constant_input(mode):
    """The weights receive what they receive in a call, the input nothing."""
    adversary = Adversary(network())
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    adversary.build(x.shape)
    weights = adversary.trainable_variables
    called = value_and_gradients(adversary, x, watch=weights, mode=mode)
    function = adversary.with_constant_input
    value, (of_x, *received) = value_and_gradients(
        function, x, watch=weights, mode=mode
    )
    np.testing.assert_allclose(value, called[0], rtol=1e-6)
    assert not of_x.any()
    for one, wanted in zip(received, called[1][1:], strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-6)


@pytest.mark.backends("jax")
def test_a_compiler_merges_the_two_forward_passes():
    import jax

    adversary = Adversary(Discriminator(hidden_dim=8))
    adversary.build((None, 16))
    weights = [weight.value for weight in adversary.trainable_variables]
    x = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")

    def products(*methods):
        def total(weights, x):
            pairs = list(zip(adversary.trainable_variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return sum(ops.sum(ops.tanh(method(x))) for method in methods)

        step = jax.jit(jax.value_and_grad(total, (0, 1)))
        return step.lower(weights, x).compile().as_text().count(" dot(")

    of_weights, of_input = (
        adversary.with_constant_input,
        adversary.with_constant_weights,
    )
    apart = products(of_weights) + products(of_input)
    assert products(of_weights, of_input) <= apart - 3  # the last is a mere sum


def test_with_constant_weights_is_the_network_under_any_policy():
    """It casts as a call does, and builds what is not built."""
    dense = keras.layers.Dense(3, dtype="mixed_bfloat16")
    adversary = Adversary(dense)
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    value = adversary.with_constant_weights(x)
    assert dense.built and dtype_of(value) == "bfloat16"
    np.testing.assert_array_equal(array(value), array(adversary(x)))


def test_config_round_trip():
    adversary = Adversary(keras.layers.Dense(3, name="inner"), name="outer")
    config = keras.saving.serialize_keras_object(adversary)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, Adversary) and again.name == "outer"
    assert again.get_config() == adversary.get_config()
    assert again(np.ones((2, 4), "float32")).shape == (2, 3)
    assert adversary.compute_output_shape((None, 7, 4)) == (None, 7, 3)


@pytest.mark.parametrize("wrong", [None, "dense", keras.layers.Dense])
def test_wrong_network(wrong):
    with pytest.raises(ValueError, match="`network` must be"):
        Adversary(wrong)


@pytest.mark.parametrize("x", [3.0, "x", np.arange(3)])
def test_what_has_no_gradient_is_refused(x):
    with pytest.raises(ValueError, match="`x`"):
        reverse_gradient(x)
