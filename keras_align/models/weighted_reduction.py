"""One vector for all tokens, as their mean with weights that are learned."""

from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks


@keras.saving.register_keras_serializable(package="keras_align")
class WeightedReduction(keras.layers.Layer):
    """Reduces tokens to one vector, by the weights of a small network.

        weights = softmax(Dense(1)(Dropout(relu(Dense(units)(x))))), over the tokens
        output = Dense(output_dim)(sum of weights * x)

    Source: Yu et al., "Deep Modular Co-Attention Networks for Visual Question
    Answering", CVPR 2019, equation 9.

    Args:
        units: int, hidden units of the network.
        output_dim: int, size of the output.
        dropout: float in [0, 1). Defaults to `0.0`.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: `(B, T, E)`.
        mask: boolean `(B, T)`, True for tokens that count, or `None`. Where none
            counts, the sum is 0.
        return_attention_scores: bool, whether to return the weights, too.

    Returns:
        `(B, output_dim)`, and the weights `(B, T)` with `return_attention_scores`.
    """

    def __init__(
        self, units: int, output_dim: int, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        checks.positive_integer("units", units)
        checks.positive_integer("output_dim", output_dim)
        checks.dropout_rate("dropout", dropout)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units, self.output_dim, self.dropout = units, output_dim, dropout
        policy = self.dtype_policy
        self.hidden = keras.layers.Dense(units, "relu", dtype=policy, name="hidden")
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="drop")
        self.score = keras.layers.Dense(1, dtype=policy, name="score")
        self.merge = keras.layers.Dense(output_dim, dtype=policy, name="merge")

    def build(self, inputs_shape: tuple) -> None:
        self.hidden.build(inputs_shape)
        self.score.build((*inputs_shape[:-1], self.units))
        self.merge.build((inputs_shape[0], inputs_shape[-1]))

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        scores = self.score(self.drop(self.hidden(inputs), training=training))
        scores = ops.cast(scores[..., 0], "float32")  # (B, T)
        weights = _softmax(scores, mask)
        summed = ops.einsum("bt,bte->be", ops.cast(weights, inputs.dtype), inputs)
        outputs = self.merge(summed)
        return (outputs, weights) if return_attention_scores else outputs

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        shape = (inputs.shape[0], self.output_dim)
        outputs = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        return outputs, keras.KerasTensor(inputs.shape[:2], dtype="float32")

    def get_config(self) -> dict[str, Any]:
        names = ("units", "output_dim", "dropout")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _softmax(scores, mask):
    """Softmax over the last axis; 0 where the mask is False, everywhere if it is."""
    if mask is None:
        return ops.softmax(scores, axis=-1)
    mask = ops.cast(mask, "bool")
    weights = ops.softmax(ops.where(mask, scores, -1e30), axis=-1)
    return ops.where(mask, weights, 0.0)
