"""The small networks of the paper. They act on the last axis, in float32."""

import keras
from keras import layers, ops

from keras_align import checks


def _dense(units, name, **kwargs):
    return layers.Dense(units, dtype="float32", name=name, **kwargs)


@keras.saving.register_keras_serializable(package="keras_align")
class Highway(layers.Layer):
    """Highway block, `g * relu(W_h x + b_h) + (1 - g) * x`, `g = sigmoid(W_g x + b_g)`.

    Source: Srivastava et al. 2015. The gate's bias starts negative, so that the block
    starts close to the identity.

    Args:
        gate_bias: float, initial value of `b_g`. Defaults to `-2.0`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(..., H)`.
    """

    def __init__(self, gate_bias=-2.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.gate_bias = gate_bias

    def build(self, input_shape):
        bias = keras.initializers.Constant(self.gate_bias)
        width = input_shape[-1]
        self.gate = _dense(width, "gate", activation="sigmoid", bias_initializer=bias)
        self.transform = _dense(width, "transform", activation="relu")
        self.gate.build(input_shape)
        self.transform.build(input_shape)

    def call(self, x):
        return x + self.gate(x) * (self.transform(x) - x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "gate_bias": self.gate_bias}


class _FeatureNetwork(layers.Layer):
    """Optional highway block, then a two-layer perceptron."""

    has_highway = True

    def __init__(self, hidden_dim=16, feature_dim=16, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        checks.positive_integer("hidden_dim", hidden_dim)
        checks.positive_integer("feature_dim", feature_dim)
        self.hidden_dim = hidden_dim
        self.feature_dim = feature_dim

    def build(self, input_shape):
        if self.has_highway:
            self.highway = Highway(name="highway")
            self.highway.build(input_shape)
        self.hidden = _dense(self.hidden_dim, "hidden")
        self.feature = _dense(self.feature_dim, "feature")
        self.hidden.build(input_shape)
        self.feature.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x):
        x = self.highway(x) if self.has_highway else x
        hidden = ops.leaky_relu(self.hidden(x), negative_slope=0.1)
        return self.feature(hidden)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.feature_dim)

    def get_config(self):
        dims = {"hidden_dim": self.hidden_dim, "feature_dim": self.feature_dim}
        return {**super().get_config(), **dims}


@keras.saving.register_keras_serializable(package="keras_align")
class Critic(_FeatureNetwork):
    """Critic `u` of AA-CT before normalisation: highway block, two-layer perceptron.

    Args:
        hidden_dim: int, width of the hidden layer. Defaults to `16`.
        feature_dim: int, width of the output. Defaults to `16`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(..., feature_dim)`.
    """


@keras.saving.register_keras_serializable(package="keras_align")
class Navigator(_FeatureNetwork):
    """Navigator `t` of AA-CT: a two-layer perceptron. Arguments as in `Critic`."""

    has_highway = False


@keras.saving.register_keras_serializable(package="keras_align")
class Discriminator(_FeatureNetwork):
    """Discriminator of AA-GAN, as a logit: highway block, two-layer perceptron.

    `D(x) = sigmoid(linear(leaky_relu(linear(highway(x)))))`; the sigmoid is left to
    `divergences.adversarial`.

    Args:
        hidden_dim: int, width of the hidden layer. Defaults to `16`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(...)`, one logit a vector.
    """

    def __init__(self, hidden_dim=16, **kwargs):
        super().__init__(hidden_dim, feature_dim=1, **kwargs)

    def call(self, x):
        return super().call(x)[..., 0]

    def compute_output_shape(self, input_shape):
        return input_shape[:-1]

    def get_config(self):
        config = super().get_config()
        del config["feature_dim"]
        return config
