"""A dense layer with a learning rate multiplier."""

from typing import Any

import keras
from keras import layers, ops

from keras_align.alignments.earlier_names import EarlierNames
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks


# Files know it by the name that it was first registered under.
@keras.saving.register_keras_serializable(package="keras_align", name="EqualizedDense")
class ScaledRateDense(EarlierNames, layers.Layer):
    """Dense layer with a learning rate multiplier under any optimizer.

    The weights are stored divided by `learning_rate_multiplier` and multiplied by it at
    use; the gradient of the used weights is given to the stored ones as it is. So the
    layer learns `learning_rate_multiplier` times faster under Adam, which moves every
    stored weight by about the learning rate, and under SGD alike, and its share in the
    norm by which gradients are clipped is that of any other layer. Source: equalised
    learning rate, Karras et al. 2018, where the gradient is scaled too.

    Args:
        units: int, width of the output.
        activation: as in `keras.layers.Dense`.
        bias: float, initial value of the bias. Defaults to `0.0`.
        learning_rate_multiplier: float > 0. Defaults to `1.0`.
        initial_scale: float >= 0, factor of the Glorot uniform distribution that the
            kernel is drawn from. Defaults to `1.0`.

    Call arguments:
        x: float tensor `(..., D)`.

    Returns:
        float32 tensor `(..., units)`.

    Example:

    >>> from keras_align.alignments.scaled_rate_dense import ScaledRateDense
    >>> dense = ScaledRateDense(3, learning_rate_multiplier=10.0)
    >>> tuple(dense(keras.ops.ones((2, 4))).shape)
    (2, 3)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        bias: float = 0.0,
        learning_rate_multiplier: float = 1.0,
        initial_scale: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        checks.positive_integer("units", units)
        checks.positive("learning_rate_multiplier", learning_rate_multiplier)
        checks.not_negative("initial_scale", initial_scale)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.bias_value = bias
        self.learning_rate_multiplier = learning_rate_multiplier
        self.initial_scale = initial_scale

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        limit = (6.0 / (width + self.units)) ** 0.5 / self.learning_rate_multiplier
        limit *= self.initial_scale
        self.kernel = self.add_weight(
            shape=(width, self.units),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )
        bias = self.bias_value / self.learning_rate_multiplier
        initializer = keras.initializers.Constant(bias)
        self.bias = self.add_weight((self.units,), initializer=initializer, name="bias")

    def call(self, x: Tensor) -> Tensor:
        kernel, bias = self._used(self.kernel), self._used(self.bias)
        if keras.distribution.distribution() is not None:
            # One of the axes may be sharded, and would be gathered to be joined.
            return self.activation(ops.matmul(x, kernel) + bias)
        # Compilers make the gradient of a kernel from two axes faster than from more.
        rows = ops.matmul(ops.reshape(x, (-1, kernel.shape[0])), kernel) + bias
        return self.activation(ops.reshape(rows, (*ops.shape(x)[:-1], self.units)))

    def _used(self, stored):
        stored = ops.convert_to_tensor(stored)
        return stored + ops.stop_gradient(
            (self.learning_rate_multiplier - 1.0) * stored
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "bias": self.bias_value,
            "learning_rate_multiplier": self.learning_rate_multiplier,
            "initial_scale": self.initial_scale,
        }
