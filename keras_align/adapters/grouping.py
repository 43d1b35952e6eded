"""Queries of a group of heads under the one key head that they share."""

from keras import ops

from keras_align.divergences.numerics import Tensor


def match_groups(
    query: Tensor,
    key: Tensor,
    query_mask: Tensor | None,
    key_mask: Tensor | None,
    num_key_heads: int,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Joins the queries of each group of heads, for the key head of the group.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`, or `(B, S, N, H)` with the key head of a group repeated.
        query_mask: boolean `(B, T)` or `None`.
        key_mask: boolean `(B, S)` or `None`.
        num_key_heads: int, `K`; divides `N`.

    Returns:
        Tuple of query `(B, N / K * T, K, H)`, key `(B, S, K, H)` and their masks.
    """
    per_group = query.shape[2] // num_key_heads
    if per_group > 1:
        batch, length, _, size = ops.shape(query)
        shape = (batch, length, num_key_heads, per_group, size)
        query = ops.transpose(ops.reshape(query, shape), (0, 3, 1, 2, 4))
        query = ops.reshape(query, (batch, per_group * length, num_key_heads, size))
        if query_mask is not None:
            query_mask = ops.tile(query_mask, (1, per_group))
        key = key[:, :, :: key.shape[2] // num_key_heads]
    return query, key, query_mask, key_mask
