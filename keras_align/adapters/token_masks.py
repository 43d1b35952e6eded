"""Which tokens take part in the alignment."""

import functools
import math

from keras import ops


def token_masks(
    query_mask=None, key_mask=None, attention_mask=None, self_attention=False
):
    """Which queries and keys are real tokens.

    A key is real if some query may attend to it, a query if it may attend to some key.
    In self-attention both are the same tokens, and a token is real if it is real on
    both sides.

    Args:
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.
        attention_mask: boolean tensor without the causal part, of shape `(B, T, S)`,
            `(B, N, T, S)` or with 1 in the place of any but the last, or `None`.
        self_attention: bool, whether queries and keys are projections of the same
            tokens.

    Returns:
        Pair of boolean tensors `(B, T)` and `(B, S)`; either may be `None`, or have 1
        in the place of B.
    """
    if attention_mask is not None:
        allowed = ops.cast(attention_mask, "bool")
        if len(allowed.shape) == 4:
            allowed = ops.any(allowed, axis=1)  # (B, T, S)
        key_mask = both(key_mask, ops.any(allowed, axis=-2))
        if allowed.shape[-2] != 1:
            query_mask = both(query_mask, ops.any(allowed, axis=-1))
    if self_attention:
        query_mask = key_mask = both(query_mask, key_mask)
    return query_mask, key_mask


def flatten_axes(query, key, query_mask, key_mask, attention_mask, attention_axes):
    """Brings inputs with several token axes to `(B, T, N, H)` and `(B, S, N, H)`.

    The axes of attention become one, all others join the batch.

    Args:
        query: projected queries `(B, ..., N, H)`.
        key: projected keys `(B, ..., N, H)`.
        query_mask: boolean tensor `(B, ...)` or `None`.
        key_mask: boolean tensor `(B, ...)` or `None`.
        attention_mask: boolean tensor `(B, other axes, N, query axes, key axes)` or
            `None`; others than the last may be 1, or missing after `B` as for Keras.
        attention_axes: tuple of ints.

    Returns:
        Tuple of the first five arguments, the last with one axis of queries and one
        of keys.
    """
    if len(query.shape) <= 4:
        return query, key, query_mask, key_mask, attention_mask
    sizes = ops.shape(query)[:-2]
    others = [size for axis, size in enumerate(sizes) if axis not in attention_axes]
    query, key = (_flatten_tokens(x, attention_axes, features=2) for x in (query, key))
    query_mask, key_mask = (
        None if mask is None else _flatten_tokens(mask, attention_axes, features=0)
        for mask in (query_mask, key_mask)
    )
    if attention_mask is not None:
        attention_mask = _flatten_attention_mask(attention_mask, others, attention_axes)
    return query, key, query_mask, key_mask, attention_mask


def flatten_scores(scores, attention_axes):
    """`(B, other axes, N, query axes, key axes)` -> `(B, N, T, S)`, as `flatten_axes`.

    Args:
        scores: NumPy array, the attention weights.
        attention_axes: tuple of ints, or `None` for one axis of tokens.
    """
    count = len(attention_axes or (1,))
    heads, sizes = scores.shape[-2 * count - 1], scores.shape[-2 * count :]
    return scores.reshape(-1, heads, math.prod(sizes[:count]), math.prod(sizes[count:]))


def _flatten_tokens(x, attention_axes, features):
    rank = len(x.shape) - features
    others = [axis for axis in range(rank) if axis not in attention_axes]
    x = ops.transpose(x, (*others, *attention_axes, *range(rank, len(x.shape))))
    sizes = ops.shape(x)
    tokens = math.prod(sizes[len(others) : rank])
    return ops.reshape(x, (-1, tokens, *sizes[rank:]))


def _flatten_attention_mask(mask, others, attention_axes):
    count = len(attention_axes)
    mask = ops.cast(mask, "bool")
    while len(mask.shape) < len(others) + 1 + 2 * count:  # as Keras gives it the axes
        mask = ops.expand_dims(mask, -2 * count - 1)
    mask = ops.any(mask, axis=-2 * count - 1)  # of all heads
    sizes = ops.shape(mask)[-2 * count :]
    mask = ops.broadcast_to(mask, (*others, *sizes))
    return ops.reshape(mask, (-1, math.prod(sizes[:count]), math.prod(sizes[count:])))


def masks_of_list(masks):
    """Masks of queries and of keys from those of a list `[query, value, key]`.

    Args:
        masks: list of boolean tensors or `None`, or one for keys alone.
    """
    if not isinstance(masks, (list, tuple)):
        return None, masks
    query_mask, *others = masks
    return query_mask, functools.reduce(both, others, None)


def both(mask, other):
    """The tokens that are real in two masks, either of which may be `None`."""
    if mask is None or other is None:
        return other if mask is None else mask
    shapes = tuple(mask.shape), tuple(other.shape)
    for sizes in zip(*(reversed(shape) for shape in shapes), strict=False):
        if len({*sizes} - {1, None}) == 2:
            raise ValueError(
                "Expected masks of the same tokens to have one shape. "
                f"Received: masks of the shapes {shapes[0]} and {shapes[1]}"
            )
    return ops.logical_and(ops.cast(mask, "bool"), ops.cast(other, "bool"))
