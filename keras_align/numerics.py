"""The few numerical guards that the formulas share.

Everything here works in float32 whatever the dtype policy, keeps gradients finite,
and treats masks as selections: a masked entry has no influence at all.
"""

from keras import ops


def to_float32(*tensors):
    """Returns the tensors in float32, the precision of every divergence."""
    cast = tuple(ops.cast(tensor, "float32") for tensor in tensors)
    return cast if len(cast) > 1 else cast[0]


def l2_normalize(x):
    """`x / |x|` over the last axis; zero, with zero gradient, for a zero vector."""
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    nonzero = square > 0.0
    inverse = ops.rsqrt(ops.where(nonzero, square, 1.0))
    return x * ops.where(nonzero, inverse, 0.0)


def token_weights(mask, like):
    """Uniform distribution over the real tokens of every sample.

    Args:
        mask: boolean tensor `(B, T)`, True for real tokens, or `None`.
        like: tensor `(B, T, ...)` that gives the sizes.

    Returns:
        float32 `(B, T)`; rows sum to 1, or to 0 for a sample without a real token.
    """
    if mask is None:
        return ops.ones_like(like[..., 0, 0]) / ops.cast(ops.shape(like)[1], "float32")
    weights = ops.cast(mask, "float32")
    count = ops.sum(weights, axis=1, keepdims=True)
    return weights / ops.maximum(count, 1.0)


def masked_softmax(logits, mask, axis):
    """Softmax over the entries where `mask` is True; 0 where nothing is left."""
    if mask is None:
        return ops.softmax(logits, axis=axis)
    top = ops.max(ops.where(mask, logits, -3e38), axis=axis, keepdims=True)
    shifted = ops.where(mask, logits - ops.stop_gradient(top), 0.0)
    weights = ops.where(mask, ops.exp(shifted), 0.0)
    total = ops.sum(weights, axis=axis, keepdims=True)
    return weights / ops.where(total > 0.0, total, 1.0)


def squared_distances(x, y):
    """Squared Euclidean distances between two clouds.

    Args:
        x: float32 `(B, T, N, H)`.
        y: float32 `(B, S, N, H)`.

    Returns:
        float32 `(B, N, T, S)`, never negative.
    """
    x_square = ops.transpose(ops.sum(ops.square(x), axis=-1), (0, 2, 1))  # (B, N, T)
    y_square = ops.transpose(ops.sum(ops.square(y), axis=-1), (0, 2, 1))  # (B, N, S)
    inner = ops.einsum("btnh,bsnh->bnts", x, y)
    return ops.relu(x_square[..., None] + y_square[..., None, :] - 2.0 * inner)
