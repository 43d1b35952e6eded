"""Gradient reversal, and networks that maximise what everything else minimises."""

from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor


def reverse_gradient(x: Tensor, scale: Any = 1.0) -> Tensor:
    """Identity in the forward pass; multiplies the gradient by `-scale`.

    `stop_gradient(x) + scale * (stop_gradient(x) - x)`: the bracket is exactly zero, so
    the value is exact in every float type up to its largest number.
    Source: Ganin & Lempitsky 2015; used by the paper's released training code.

    Args:
        x: float tensor of any shape.
        scale: float, tensor or `keras.Variable`. Defaults to `1.0`.

    Returns:
        Tensor equal to `x`, of its shape and dtype.

    Raises:
        ValueError: if `x` is not a float tensor.
    """
    dtype = keras.backend.standardize_dtype(getattr(x, "dtype", "int32"))
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            "Argument `x` must be a float tensor, which has a gradient. "
            f"Received: x={x!r}"
        )
    constant = ops.stop_gradient(x)
    return constant + ops.cast(scale, constant.dtype) * (constant - x)


@keras.saving.register_keras_serializable(package="keras_align")
class Adversary(keras.layers.Layer):
    """A network between two gradient reversals: `reverse(network(reverse(x)))`.

    The input receives the true gradient of the loss and the network's own weights the
    negated one. Under one optimizer that minimises, the network maximises, with no sign
    changed in the loss (PAPER: "trained jointly with a gradient-reversal layer").

    Args:
        network: `keras.layers.Layer` to be trained against the rest.

    Call arguments:
        x: float tensor that `network` accepts.

    Returns:
        `network(x)`.

    Example:

    >>> critic = Adversary(keras.layers.Dense(8))
    >>> tuple(critic(keras.ops.ones((2, 4))).shape)
    (2, 8)
    """

    def __init__(self, network: keras.layers.Layer, **kwargs: Any):
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(
                "Argument `network` must be a keras.layers.Layer. "
                f"Received: network={network!r}"
            )
        # Under another policy than the network's, the input would be cast and rounded.
        super().__init__(**{"dtype": network.dtype_policy, **kwargs})
        self.network = network

    def build(self, input_shape: tuple) -> None:
        if not self.network.built:
            self.network.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return reverse_gradient(self.network(reverse_gradient(x)))

    def with_constant_input(self, x: Tensor) -> Tensor:
        """`network(x)`, whose negated gradient reaches the network's weights alone.

        A compiler makes one forward pass of it and of `with_constant_weights` of the
        same input; eager execution makes two.

        Args:
            x: float tensor that `network` accepts.

        Returns:
            Tensor equal to `network(x)`.
        """
        return reverse_gradient(self.network(ops.stop_gradient(x)))

    def with_constant_weights(self, x: Tensor) -> Tensor:
        """`network(x)`, whose gradient reaches `x` and not the network's weights.

        Args:
            x: float tensor that `network` accepts.

        Returns:
            Tensor equal to `network(x)`.
        """
        if not self.network.built:
            self.network.build(x.shape)
        weights = self.network.variables
        constants = [(v, ops.stop_gradient(v.value)) for v in weights]
        with keras.StatelessScope(state_mapping=constants):
            return self.network(x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.network.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config: dict) -> "Adversary":
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})
