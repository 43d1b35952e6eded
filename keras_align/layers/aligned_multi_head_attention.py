"""Multi-head attention whose keys and queries follow the same distribution."""

import keras
from keras import layers

from keras_align.adapters.token_masks import flatten_axes
from keras_align.layers.aligned_keras_attention import AlignedKerasAttention


@keras.saving.register_keras_serializable(package="keras_align")
class AlignedMultiHeadAttention(AlignedKerasAttention, layers.MultiHeadAttention):
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
        *args: the other positional arguments of `keras.layers.MultiHeadAttention`.
        **kwargs: the other arguments of `keras.layers.MultiHeadAttention`.

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

    def __init__(
        self, num_heads, key_dim, *args, alignment="ct", alignment_weight=None, **kwargs
    ):
        super().__init__(
            num_heads,
            key_dim,
            *args,
            alignment=alignment,
            alignment_weight=alignment_weight,
            **kwargs,
        )

    @property
    def alignment_shape(self):
        return self._num_heads, self._key_dim

    def _match_heads(self, query, key, query_mask, key_mask):
        return query, key, query_mask, key_mask

    def _flatten(self, query, key, *masks):
        return flatten_axes(query, key, *masks, self._attention_axes)
