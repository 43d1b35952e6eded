"""Inputs with several axes of tokens, flattened to one."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_align.divergences.numerics import Tensor


def flatten_tokens(
    x: Tensor, attention_axes: tuple[int, ...] | None, features: int
) -> Tensor:
    """`(B, ..., N, H)` -> `(B, T, N, H)`: the axes of attention become one.

    All other axes of tokens join the batch.

    Args:
        x: tensor with the axes of tokens, and then those of features.
        attention_axes: tuple of ints, or `None` for one axis of tokens.
        features: int, number of axes of features: 2 for `(N, H)`, 0 for a mask.
    """
    rank = len(x.shape) - features
    if attention_axes is None or rank <= 2:
        return x
    others = [axis for axis in range(rank) if axis not in attention_axes]
    x = ops.transpose(x, (*others, *attention_axes, *range(rank, len(x.shape))))
    sizes = ops.shape(x)
    tokens = math.prod(sizes[len(others) : rank])
    return ops.reshape(x, (-1, tokens, *sizes[rank:]))


def flatten_attention_mask(
    mask: Tensor, sizes: Sequence[Any], attention_axes: tuple[int, ...]
) -> Tensor:
    """`(B, other axes, N, query axes, key axes)` -> `(B, T, S)`, as `flatten_tokens`.

    Args:
        mask: boolean tensor; axes other than the last may be 1, or missing after `B`
            as for Keras.
        sizes: the sizes of `B` and of the axes of tokens.
        attention_axes: tuple of ints.
    """
    count = len(attention_axes)
    others = [size for axis, size in enumerate(sizes) if axis not in attention_axes]
    while len(mask.shape) < len(others) + 1 + 2 * count:  # as Keras gives it the axes
        mask = ops.expand_dims(mask, -2 * count - 1)
    mask = ops.any(mask, axis=-2 * count - 1)  # of all heads
    tokens = ops.shape(mask)[-2 * count :]
    mask = ops.broadcast_to(mask, (*others, *tokens))
    return ops.reshape(mask, (-1, math.prod(tokens[:count]), math.prod(tokens[count:])))


def flatten_scores(scores: Tensor, attention_axes: tuple[int, ...] | None) -> Tensor:
    """`(B, other axes, N, query axes, key axes)` -> `(B, N, T, S)`.

    Args:
        scores: tensor, the attention weights.
        attention_axes: tuple of ints, or `None` for one axis of tokens.
    """
    count = len(attention_axes or (1,))
    sizes = ops.shape(scores)
    heads, tokens = sizes[-2 * count - 1], sizes[-2 * count :]
    shape = -1, heads, math.prod(tokens[:count]), math.prod(tokens[count:])
    return ops.reshape(scores, shape)
