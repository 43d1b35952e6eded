"""A dense layer that learns faster than the rest under the same optimizer."""

import keras
from keras import layers, ops

from keras_align.validation import checks


@keras.saving.register_keras_serializable(package="keras_align")
class EqualizedDense(layers.Layer):
    """Dense layer that learns faster than the rest under the same optimizer.

    The weights are stored divided by `learning_speed` and multiplied by it at use; the
    gradient of the used weights is given to the stored ones as it is. So the layer
    learns `learning_speed` times faster under Adam, which moves every stored weight by
    about the learning rate, and under SGD alike, and its share in the norm by which
    gradients are clipped is that of any other layer. Source: equalised learning rate,
    Karras et al. 2018, where the gradient is scaled too.

    Args:
        units: int, width of the output.
        activation: as in `keras.layers.Dense`.
        bias: float, initial value of the bias. Defaults to `0.0`.
        learning_speed: float > 0. Defaults to `1.0`.
        initial_scale: float >= 0, factor of the Glorot uniform distribution that the
            kernel is drawn from. Defaults to `1.0`.

    Call arguments:
        x: float tensor `(..., D)`.

    Returns:
        float32 tensor `(..., units)`.
    """

    def __init__(
        self,
        units,
        activation=None,
        bias=0.0,
        learning_speed=1.0,
        initial_scale=1.0,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        checks.positive_integer("units", units)
        checks.positive("learning_speed", learning_speed)
        checks.not_negative("initial_scale", initial_scale)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.bias_value = bias
        self.learning_speed = learning_speed
        self.initial_scale = initial_scale

    def build(self, input_shape):
        width = input_shape[-1]
        glorot = (6.0 / (width + self.units)) ** 0.5 / self.learning_speed
        glorot *= self.initial_scale
        self.kernel = self.add_weight(
            shape=(width, self.units),
            initializer=keras.initializers.RandomUniform(-glorot, glorot),
            name="kernel",
        )
        bias = keras.initializers.Constant(self.bias_value / self.learning_speed)
        self.bias = self.add_weight((self.units,), initializer=bias, name="bias")

    def call(self, x):
        kernel, bias = self._used(self.kernel), self._used(self.bias)
        return self.activation(ops.matmul(x, kernel) + bias)

    def _used(self, stored):
        stored = ops.convert_to_tensor(stored)
        return stored + ops.stop_gradient((self.learning_speed - 1.0) * stored)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "bias": self.bias_value,
            "learning_speed": self.learning_speed,
            "initial_scale": self.initial_scale,
        }
