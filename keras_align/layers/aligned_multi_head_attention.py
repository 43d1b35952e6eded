"""Multi-head attention whose keys and queries follow the same distribution."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_align.adapters.keras_attention import KERAS_ADAPTER
from keras_align.alignments import Alignment
from keras_align.layers.adapted_attention import AdaptedAttention, aligned_call
from keras_align.layers.argument_types import Constraint, Initializer, Regularizer


@keras.saving.register_keras_serializable(package="keras_align")
class AlignedMultiHeadAttention(AdaptedAttention, layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` with alignment of keys and queries.

    In training the layer adds, through `add_loss`, `alignment_weight` times the
    divergence between the distributions of its projected queries and keys, averaged
    over samples and heads. In inference it is the Keras layer, operation for operation.
    Source: Zhang et al., "Alignment Attention by Matching Key and Query
    Distributions", NeurIPS 2021.

    Args:
        num_heads: int, number of attention heads.
        key_dim: int, size of each head for query and key.
        alignment: `"ct"`, `"gan"`, `"ot"`, `"mmd"`, an `Alignment`, its serialised
            config, or `None` for the plain Keras layer. Defaults to `"ct"`.
        alignment_weight: float >= 0 or scalar `keras.Variable`, the paper's lambda. A
            variable may be changed during training; nothing is traced again. `None`,
            the default, is the alignment's `default_weight`.
        **kwargs: `name`, `dtype` and `trainable`. All other arguments are those of
            `keras.layers.MultiHeadAttention`.

    Call arguments:
        As `keras.layers.MultiHeadAttention`: query `(B, T, E)`, value `(B, S, E)`, key
        `(B, S, E)`, masks, `return_attention_scores`, `training`, `use_causal_mask`.
        Tokens masked by `query_mask`, `value_mask`, `key_mask` or, in every row or
        column, by `attention_mask` take no part in the alignment.

    Returns:
        As `keras.layers.MultiHeadAttention`: `(B, T, E)`, and the scores
        `(B, N, T, S)` if `return_attention_scores`.

    Raises:
        ValueError: for an `alignment` or `alignment_weight` that is none of these.

    Example:

    >>> layer = AlignedMultiHeadAttention(num_heads=2, key_dim=8, alignment="ct")
    >>> x = keras.random.normal((2, 5, 16))
    >>> tuple(layer(x, x, training=True).shape)
    (2, 5, 16)
    >>> len(layer.losses)
    1
    """

    plain_class = layers.MultiHeadAttention
    adapter = KERAS_ADAPTER

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        activity_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        use_gate: bool = False,
        seed: int | None = None,
        *,
        alignment: str | dict[str, Any] | Alignment | None = "ct",
        alignment_weight: float | keras.Variable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(num_heads, key_dim, value_dim, dropout, use_bias),
            *(output_shape, attention_axes, sliding_window, flash_attention),
            *(kernel_initializer, bias_initializer),
            *(kernel_regularizer, bias_regularizer, activity_regularizer),
            *(kernel_constraint, bias_constraint, use_gate, seed),
            alignment=alignment,
            alignment_weight=alignment_weight,
            **kwargs,
        )

    call = aligned_call(layers.MultiHeadAttention.call)
