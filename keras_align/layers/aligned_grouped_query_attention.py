"""Grouped-query attention whose keys and queries follow the same distribution."""

from typing import Any

import keras
from keras import layers

from keras_align.adapters.keras_attention import KERAS_ADAPTER
from keras_align.alignments import Alignment
from keras_align.layers.adapted_attention import AdaptedAttention, aligned_call
from keras_align.layers.argument_types import Constraint, Initializer, Regularizer


@keras.saving.register_keras_serializable(package="keras_align")
class AlignedGroupedQueryAttention(AdaptedAttention, layers.GroupQueryAttention):
    """`keras.layers.GroupQueryAttention` with alignment of keys and queries.

    Each key head is matched with the queries of all heads of its group together (the
    paper treats multi-head attention only; with groups of one this is the same).

    Args:
        head_dim: int, size of each head.
        num_query_heads: int, number of query heads.
        num_key_value_heads: int, number of key and value heads; divides
            `num_query_heads`.
        alignment: `"ct"`, `"gan"`, `"ot"`, `"mmd"`, an `Alignment`, its serialised
            config, or `None` for the plain Keras layer. Defaults to `"ct"`.
        alignment_weight: float >= 0 or scalar `keras.Variable`, factor of the
            divergence in the training loss. `None`, the default, is the
            alignment's `default_weight`.
        **kwargs: `name`, `dtype` and `trainable`. All other arguments are those of
            `keras.layers.GroupQueryAttention`.

    Call arguments:
        As `keras.layers.GroupQueryAttention`: query `(B, T, E)`, value `(B, S, E)`,
        key `(B, S, E)`, masks, `return_attention_scores`, `training`,
        `use_causal_mask`.

    Returns:
        As `keras.layers.GroupQueryAttention`: `(B, T, E)`, and the scores
        `(B, num_query_heads, T, S)` if `return_attention_scores`.

    Raises:
        ValueError: for an `alignment` or `alignment_weight` that is none of these.

    Example:

    >>> layer = AlignedGroupedQueryAttention(
    ...     head_dim=8, num_query_heads=4, num_key_value_heads=2
    ... )
    >>> x = keras.random.normal((2, 5, 16))
    >>> tuple(layer(x, x, training=True).shape)
    (2, 5, 16)
    >>> len(layer.losses)
    1
    """

    plain_class = layers.GroupQueryAttention
    adapter = KERAS_ADAPTER

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
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
            *(head_dim, num_query_heads, num_key_value_heads, dropout, use_bias),
            *(sliding_window, flash_attention),
            *(kernel_initializer, bias_initializer),
            *(kernel_regularizer, bias_regularizer, activity_regularizer),
            *(kernel_constraint, bias_constraint, use_gate, seed),
            alignment=alignment,
            alignment_weight=alignment_weight,
            **kwargs,
        )

    call = aligned_call(layers.GroupQueryAttention.call)
