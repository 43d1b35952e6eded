"""Which tokens take part in the alignment."""

import functools
from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor


def token_masks(
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
    attention_mask: Tensor | None = None,
    self_attention: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
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


def boolean_mask(mask: Tensor, additive: bool) -> Tensor:
    """A mask as booleans.

    Args:
        mask: tensor, nonzero for what may be attended to.
        additive: bool, whether it is added to the scores, if it is not boolean.
    """
    mask = ops.convert_to_tensor(mask)
    if additive and keras.backend.standardize_dtype(mask.dtype) != "bool":
        return ops.greater(mask, -1.0)
    return ops.cast(mask, "bool")


def masks_of_list(masks: Any) -> tuple[Tensor | None, Tensor | None]:
    """Masks of queries and of keys from those of a list `[query, value, key]`.

    Args:
        masks: list of boolean tensors or `None`, or one for keys alone.
    """
    if not isinstance(masks, (list, tuple)):
        return None, masks
    query_mask, *others = masks
    return query_mask, functools.reduce(both, others, None)


def both(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
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
