"""The few numerical guards that the formulas share.

Everything here works in float32 whatever the dtype policy, keeps gradients finite,
and treats masks as selections: a masked entry, if it is finite, has no influence.
"""

from typing import Any

from keras import ops

# A tensor of the backend, a NumPy array or a symbolic tensor of Keras.
Tensor = Any


def to_float32(*tensors: Tensor) -> Any:
    """Returns the tensors in float32, the precision of every divergence."""
    cast = tuple(ops.cast(tensor, "float32") for tensor in tensors)
    return cast if len(cast) > 1 else cast[0]


def as_rows(x: Tensor) -> Tensor:
    """`(B, T, N, H)` -> float32 `(B, N, T, H)`, the layout of the formulas.

    In it every product of the formulas is a plain matrix product, which compilers turn
    into their fastest code.
    """
    return ops.transpose(to_float32(x), (0, 2, 1, 3))


def transpose(x: Tensor) -> Tensor:
    """Swaps the last two axes."""
    return ops.swapaxes(x, -1, -2)


def l2_normalize(x: Tensor) -> Tensor:
    """`x / |x|` over the last axis; zero, with zero gradient, for a zero vector."""
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    nonzero = square > 0.0
    inverse = ops.rsqrt(ops.where(nonzero, square, 1.0))
    return x * ops.where(nonzero, inverse, 0.0)


def token_weights(mask: Tensor | None, like: Tensor) -> Tensor:
    """Uniform distribution over the real tokens of every sample.

    Args:
        mask: boolean tensor `(B, T)`, True for real tokens, or `None`.
        like: tensor `(B, T, ...)` that gives the sizes.

    Returns:
        float32 `(B, T)`; rows sum to 1, or to 0 for a sample without a real token.
    """
    if mask is None:
        ones = ops.ones_like(like[..., 0, 0], dtype="float32")
        return ones / ops.cast(ops.shape(like)[1], "float32")
    weights = ops.cast(ops.cast(mask, "bool"), "float32")
    count = ops.sum(weights, axis=1, keepdims=True)
    return weights / ops.maximum(count, 1.0)


def largest(x: Tensor, axis: int) -> Tensor:
    """Largest entry along an axis, which is kept; also of a batch without samples."""
    # A Python number would take the type of `floatx` here.
    lowest = ops.cast(-3e38, x.dtype)
    return ops.max(x, axis=axis, keepdims=True, initial=lowest)


def matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    """`sum_j M_ij v_j`: `(B, N, T, S)`, `(B, 1 or N, S)` -> `(B, N, T)`."""
    sizes = ops.shape(matrix)
    column = ops.broadcast_to(vector, (*sizes[:-2], sizes[-1]))[..., None]
    return ops.matmul(matrix, column)[..., 0]


def vecmat(vector: Tensor, matrix: Tensor) -> Tensor:
    """`sum_i v_i M_ij`: `(B, 1 or N, T)`, `(B, N, T, S)` -> `(B, N, S)`."""
    row = ops.broadcast_to(vector, ops.shape(matrix)[:-1])[..., None, :]
    return ops.matmul(row, matrix)[..., 0, :]


def transposed_matmul(matrix: Tensor, x: Tensor) -> Tensor:
    """`sum_i M_ij x_i`: `(B, N, T, S)`, `(B, N, T, D)` -> `(B, N, S, D)`."""
    return transpose(ops.matmul(transpose(x), matrix))


def centered(
    query: Tensor, key: Tensor, row: Tensor, column: Tensor
) -> tuple[Tensor, Tensor]:
    """Moves the mid-point of both means to 0: distances of small numbers are exact.

    The mid-point is a constant, as no distance depends on it.

    Args:
        query: float32 `(B, N, T, H)`.
        key: float32 `(B, N, S, H)`.
        row: float32 `(B, 1, T)`, see `token_weights`.
        column: float32 `(B, 1, S)`.

    Returns:
        Pair of `query` and `key`, moved.
    """
    middle = vecmat(row, query) + vecmat(column, key)  # (B, N, H)
    middle = ops.stop_gradient(0.5 * middle)[:, :, None]
    return query - middle, key - middle


def zero_if_empty(
    value: Tensor, query_mask: Tensor | None, key_mask: Tensor | None
) -> Tensor:
    """Sets the value `(B, N)` of a sample without a real query or key to 0."""
    for mask in (query_mask, key_mask):
        if mask is not None:
            present = ops.any(ops.cast(mask, "bool"), axis=1)[:, None]
            value = ops.where(present, value, ops.zeros_like(value))
    return value


def with_gradient(value: Tensor, *pairs: tuple[Tensor, Tensor]) -> Tensor:
    """Returns `value` with gradients that are known in closed form.

    What is needed to compute them is not kept for the backward pass; only the gradients
    themselves are, which are as large as the inputs.

    Args:
        value: float32 `(B, N)`.
        *pairs: tuples of a tensor `(B, N, ., .)` and the gradient of `value` with
            respect to it.

    Returns:
        `value`, exactly.
    """
    slope = 0.0
    for tensor, gradient in pairs:
        product = tensor * ops.stop_gradient(gradient)
        slope += ops.sum(ops.sum(product, axis=-1), axis=-1)
    return ops.stop_gradient(value) + (slope - ops.stop_gradient(slope))
