"""Grouped-query attention whose keys and queries follow the same distribution."""

import keras
from keras import layers

from keras_align.adapters.grouping import match_groups
from keras_align.layers.aligned_keras_attention import AlignedKerasAttention


@keras.saving.register_keras_serializable(package="keras_align")
class AlignedGroupedQueryAttention(AlignedKerasAttention, layers.GroupQueryAttention):
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
        **kwargs: the other arguments of `keras.layers.GroupQueryAttention`.

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

    def __init__(
        self,
        head_dim,
        num_query_heads,
        num_key_value_heads,
        *args,
        alignment="ct",
        alignment_weight=None,
        **kwargs,
    ):
        super().__init__(
            head_dim,
            num_query_heads,
            num_key_value_heads,
            *args,
            alignment=alignment,
            alignment_weight=alignment_weight,
            **kwargs,
        )

    @property
    def alignment_shape(self):
        return self.num_key_value_heads, self.head_dim

    def _match_heads(self, query, key, query_mask, key_mask):
        return match_groups(query, key, query_mask, key_mask, self.num_key_value_heads)
