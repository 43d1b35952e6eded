"""The small networks of the paper. They act on the last axis, in float32."""

from typing import Any

import keras
from keras import layers, ops

from keras_align.alignments.earlier_names import EarlierNames
from keras_align.alignments.scaled_rate_dense import ScaledRateDense
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks


@keras.saving.register_keras_serializable(package="keras_align")
class Highway(EarlierNames, layers.Layer):
    """Highway block, `g * relu(W_h x + b_h) + (1 - g) * x`, `g = sigmoid(W_g x + b_g)`.

    Source: Srivastava et al. 2015. The gate's bias starts negative, so that the block
    starts close to the identity.

    Args:
        gate_bias: float, initial value of `b_g`. Defaults to `-2.0`.
        learning_rate_multiplier: float > 0, see `ScaledRateDense`. Defaults to `1.0`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(..., H)`.
    """

    def __init__(
        self,
        gate_bias: float = -2.0,
        learning_rate_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        checks.positive("learning_rate_multiplier", learning_rate_multiplier)
        self.gate_bias = gate_bias
        self.learning_rate_multiplier = learning_rate_multiplier

    def build(self, input_shape: tuple) -> None:
        width, multiplier = input_shape[-1], self.learning_rate_multiplier
        self.gate = ScaledRateDense(
            width, "sigmoid", self.gate_bias, multiplier, name="gate"
        )
        self.transform = ScaledRateDense(
            width, "relu", learning_rate_multiplier=multiplier, name="transform"
        )
        self.gate.build(input_shape)
        self.transform.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return x + self.gate(x) * (self.transform(x) - x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "gate_bias": self.gate_bias,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }


class _FeatureNetwork(EarlierNames, layers.Layer):
    """Optional highway block, then a two-layer perceptron.

    `feature_dim` is the width of the output, `None` for that of the input.
    """

    has_highway = True
    initial_scale = 1.0  # of the last layer

    def __init__(
        self,
        hidden_dim: int = 16,
        feature_dim: int | None = None,
        learning_rate_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        checks.positive_integer("hidden_dim", hidden_dim)
        checks.positive("learning_rate_multiplier", learning_rate_multiplier)
        self.hidden_dim = hidden_dim
        self.feature_dim = feature_dim
        self.learning_rate_multiplier = learning_rate_multiplier

    def build(self, input_shape: tuple) -> None:
        multiplier = self.learning_rate_multiplier
        if self.has_highway:
            self.highway = Highway(learning_rate_multiplier=multiplier, name="highway")
            self.highway.build(input_shape)
        self.hidden = ScaledRateDense(
            self.hidden_dim, learning_rate_multiplier=multiplier, name="hidden"
        )
        width = self.feature_dim or input_shape[-1]
        self.feature = ScaledRateDense(
            width,
            learning_rate_multiplier=multiplier,
            initial_scale=self.initial_scale,
            name="feature",
        )
        self.hidden.build(input_shape)
        self.feature.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x: Tensor) -> Tensor:
        return self._perceptron(self.highway(x) if self.has_highway else x)

    def _perceptron(self, x):
        return self.feature(ops.leaky_relu(self.hidden(x), negative_slope=0.1))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.feature_dim or input_shape[-1])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }


@keras.saving.register_keras_serializable(package="keras_align")
class Critic(_FeatureNetwork):
    """Critic `u` of AA-CT before normalisation: `h + perceptron(h)`, `h = highway(x)`.

    The paper's "highway + two-layer MLP", read as a sum. So the cost depends on every
    direction of the input: that of a perceptron of few features does not, and queries
    and keys may diverge in the others. And before training it is close to the cosine
    distance, which matters in fine-tuning.

    Args:
        hidden_dim: int, width of the hidden layer. Defaults to `16`.
        learning_rate_multiplier: float > 0, see `ScaledRateDense`. Defaults to `1.0`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(..., H)`.
    """

    def __init__(
        self,
        hidden_dim: int = 16,
        learning_rate_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(hidden_dim, None, learning_rate_multiplier, **kwargs)

    def call(self, x: Tensor) -> Tensor:
        x = self.highway(x)
        return x + self._perceptron(x)


@keras.saving.register_keras_serializable(package="keras_align")
class Navigator(_FeatureNetwork):
    """Navigator `t` of AA-CT: a two-layer perceptron.

    Args:
        hidden_dim: int, width of the hidden layer. Defaults to `16`.
        feature_dim: int, width of the output. Defaults to `16`.
        learning_rate_multiplier: float > 0, see `ScaledRateDense`. Defaults to `1.0`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(..., feature_dim)`.
    """

    has_highway = False

    def __init__(
        self,
        hidden_dim: int = 16,
        feature_dim: int = 16,
        learning_rate_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        checks.positive_integer("feature_dim", feature_dim)
        super().__init__(hidden_dim, feature_dim, learning_rate_multiplier, **kwargs)

    def get_config(self) -> dict:
        return {**super().get_config(), "feature_dim": self.feature_dim}


@keras.saving.register_keras_serializable(package="keras_align")
class Discriminator(_FeatureNetwork):
    """Discriminator of AA-GAN, as a logit: highway block, two-layer perceptron.

    `D(x) = sigmoid(linear(leaky_relu(linear(highway(x)))))`; the sigmoid is left to
    `divergences.adversarial`. The last layer starts at zero, `D = 1/2`: a random one
    would move queries and keys along random directions before it has learned in which
    they differ.

    Args:
        hidden_dim: int, width of the hidden layer. Defaults to `16`.
        learning_rate_multiplier: float > 0, see `ScaledRateDense`. Defaults to `1.0`.

    Call arguments:
        x: float tensor `(..., H)`.

    Returns:
        float32 tensor `(...)`, one logit a vector.
    """

    initial_scale = 0.0

    def __init__(
        self,
        hidden_dim: int = 16,
        learning_rate_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(hidden_dim, 1, learning_rate_multiplier, **kwargs)

    def call(self, x: Tensor) -> Tensor:
        return super().call(x)[..., 0]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape[:-1]
