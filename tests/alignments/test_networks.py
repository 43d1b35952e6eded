"""The networks against NumPy, and what every one of them must be able to do."""

import keras
import numpy as np
import oracles
import pytest
from execution import array, dtype_of, value_and_gradients

from keras_align.alignments import networks, scaled_rate_dense
from keras_align.alignments.networks import Critic, Discriminator, Highway, Navigator

pytestmark = pytest.mark.slow_on("jax")

X = np.random.default_rng(0).normal(size=(2, 5, 3, 6)).astype("float32")  # (B, T, N, H)
EVERY = {
    "Highway": (Highway, {}, (2, 5, 3, 6)),
    "Critic": (Critic, {"hidden_dim": 8}, (2, 5, 3, 6)),
    "Navigator": (Navigator, {"hidden_dim": 8, "feature_dim": 4}, (2, 5, 3, 4)),
    "Discriminator": (Discriminator, {"hidden_dim": 8}, (2, 5, 3)),
}
every_network = pytest.mark.parametrize("name", EVERY)


def built(name, /, random_weights=True, **options):
    cls, defaults, _ = EVERY[name]
    network = cls(**{**defaults, **options})
    network.build((None, 6))
    network.built = True
    if random_weights:  # biases start at a constant, which would hide mistakes
        rng = np.random.default_rng(1)
        weights = [rng.normal(size=weight.shape) for weight in network.weights]
        network.set_weights([w / network.learning_rate_multiplier for w in weights])
    return network


def used_weights(network):
    """The weights as they enter the formula, in the order of the formula."""
    return [
        weight * network.learning_rate_multiplier for weight in network.get_weights()
    ]


def expected(name, x, weights):
    if name != "Navigator":
        x = oracles.highway(x, weights[:4])
        weights = weights[4:]
    if name == "Highway":
        return x
    features = oracles.perceptron(x, weights)
    if name == "Critic":
        return x + features
    return features[..., 0] if name == "Discriminator" else features


@every_network
@pytest.mark.parametrize("learning_rate_multiplier", [1.0, 30.0])
def test_equals_the_formula(name, learning_rate_multiplier):
    network = built(name, learning_rate_multiplier=learning_rate_multiplier)
    value = network(X)
    assert dtype_of(value) == "float32"
    wanted = expected(name, X.astype("float64"), used_weights(network))
    np.testing.assert_allclose(array(value), wanted, rtol=1e-4, atol=1e-4)


@every_network
def test_shapes(name):
    network = built(name)
    shape = EVERY[name][2]
    assert network(X).shape == shape
    assert tuple(network.compute_output_shape(X.shape)) == shape


@every_network
def test_config_round_trip(name):
    network = built(name, learning_rate_multiplier=3.0, name="given")
    config = keras.saving.serialize_keras_object(network)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(network)
    assert again.get_config() == network.get_config()
    if not again.built:
        again.build((None, 6))
    again.set_weights(network.get_weights())
    np.testing.assert_array_equal(array(again(X)), array(network(X)))


@every_network
def test_weights_survive_a_file(name, tmp_path):
    model = keras.Sequential([keras.Input((6,)), built(name)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(again(X[0, 0])), array(model(X[0, 0])))


@every_network
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_float32_under_every_policy(name, policy):
    keras.config.set_dtype_policy(policy)
    network = built(name)
    largest = keras.ops.cast(np.full((2, 6), 65504.0), "float16")
    value = network(largest)
    assert dtype_of(value) == "float32" and np.isfinite(array(value)).all()
    assert {weight.dtype for weight in network.weights} == {"float32"}


@every_network
def test_zero_weights_and_inputs_have_finite_gradients(name):
    network = built(name)
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    _, gradients = value_and_gradients(
        network, np.zeros((2, 6), "float32"), watch=network.trainable_variables
    )
    assert len(gradients) == 1 + len(network.weights)
    assert all(np.isfinite(each).all() for each in gradients)


def test_highway_starts_near_the_identity():
    network = built("Highway", random_weights=False)
    off = np.abs(array(network(X)) - X).mean() / np.abs(X).mean()
    assert 0.0 < off < 0.3
    closed = built("Highway", random_weights=False, gate_bias=-50.0)
    np.testing.assert_array_equal(array(closed(X)), X)


def test_discriminator_starts_undecided():
    network = built("Discriminator", random_weights=False)
    np.testing.assert_array_equal(array(network(X)), 0.0)


@every_network
def test_learning_rate_multiplier_changes_the_rate_and_not_the_start(name):
    """Stored weights are that much smaller, their gradient is that of the used ones."""
    slow, fast = built(name), built(name, learning_rate_multiplier=10.0)
    np.testing.assert_allclose(array(fast(X)), array(slow(X)), rtol=1e-4, atol=1e-4)
    _, slow_gradients = value_and_gradients(slow, X, watch=slow.trainable_variables)
    _, fast_gradients = value_and_gradients(fast, X, watch=fast.trainable_variables)
    for of_fast, of_slow in zip(fast_gradients[1:], slow_gradients[1:], strict=True):
        np.testing.assert_allclose(of_fast, of_slow, rtol=1e-3, atol=1e-3)


@every_network
def test_learning_rate_multiplier_does_not_change_the_initial_scale(name):
    slow = used_weights(built(name, random_weights=False))
    keras.utils.set_random_seed(0)
    fast = built(name, random_weights=False, learning_rate_multiplier=10.0)
    for of_fast, of_slow in zip(used_weights(fast), slow, strict=True):
        spread = np.abs(of_fast).mean(), np.abs(of_slow).mean()
        assert spread[0] == pytest.approx(spread[1], rel=0.5)


@pytest.mark.parametrize("cls", [Critic, Navigator, Discriminator])
@pytest.mark.parametrize("wrong", [0, -4, 2.5, None])
def test_wrong_width(cls, wrong):
    with pytest.raises(ValueError, match=f"`hidden_dim`.*Received: hidden_dim={wrong}"):
        cls(hidden_dim=wrong)


def test_wrong_feature_dim():
    with pytest.raises(ValueError, match=r"`feature_dim`.*Received: feature_dim=0"):
        Navigator(feature_dim=0)


def test_critic_is_blind_to_no_direction():
    """Its Jacobian has full rank at every token, however narrow the perceptron."""
    critic = Critic(hidden_dim=2)
    x = X.reshape(-1, 6)
    critic.build(x.shape)
    columns = []
    for index in range(6):
        _, (gradient, *_) = value_and_gradients(
            lambda x, index=index: critic(x)[..., index], x
        )
        columns.append(gradient)
    jacobians = np.stack(columns, axis=1)
    assert np.linalg.matrix_rank(jacobians, tol=1e-3).min() == 6


@every_network
@pytest.mark.parametrize("wrong", [0.0, -1.0, "fast"])
def test_wrong_learning_rate_multiplier(name, wrong):
    with pytest.raises(ValueError, match=r"`learning_rate_multiplier`.*Received"):
        built(name, learning_rate_multiplier=wrong)


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), "small"])
def test_wrong_initial_scale(wrong):
    with pytest.raises(ValueError, match=r"`initial_scale`.*Received"):
        scaled_rate_dense.ScaledRateDense(4, initial_scale=wrong)


def test_every_network_is_tested():
    classes = {
        name
        for name, value in vars(networks).items()
        if isinstance(value, type) and value.__module__ == networks.__name__
    }
    inner = {"_FeatureNetwork"}  # part of the others
    assert classes - inner == set(EVERY)
