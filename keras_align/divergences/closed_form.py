"""The formulas over all pairs of tokens, with their gradients in closed form.

Automatic differentiation would keep several `(B, N, T, S)` arrays of every layer until
the backward pass and run over them again. Here each gradient is written down and
computed together with the value, so nothing of that size outlives the forward pass.

Layout: queries `(B, N, T, H)` with weights `(B, 1, T)`, keys `(B, N, S, H)` with
weights `(B, 1, S)`. A weight is 1 over the number of real tokens, or 0 for padding,
which has no influence and receives a gradient of exactly zero. Weights are constants.
"""

from keras import ops

from keras_align.divergences.numerics import (
    largest,
    matvec,
    transpose,
    vecmat,
    with_gradient,
)


def conditional_cost(unit_query, unit_key, query, key, row, column, rho):
    """Cost of conditional transport of unit features along the plans of a navigator.

    `L = rho sum_i a_i (1 - r_i) + (1 - rho) sum_j b_j (1 - s_j)`,
    `r_i = sum_j P_ij k_ij`, `s_j = sum_i R_ij k_ij`; `k` are the cosines, `P` and `R`
    the softmaxes of the logits over keys and over queries. The attention identity of
    the paper's cost gives `r` and `s`; their gradient with respect to the logits is
    `rho a_i P_ij (r_i - k_ij) + (1 - rho) b_j R_ij (s_j - k_ij)`.

    Args:
        unit_query: float32 `(B, N, T, D)`, of length 1 or 0.
        unit_key: float32 `(B, N, S, D)`.
        query: float32 `(B, N, T, D)`, navigator features; logits are `query . key`.
        key: float32 `(B, N, S, D)`.
        row: float32 `(B, 1, T)`.
        column: float32 `(B, 1, S)`.
        rho: float in [0, 1].

    Returns:
        float32 `(B, N)`, differentiable in the first four arguments.
    """
    arguments = unit_query, unit_key, query, key
    unit_query, unit_key, query, key = (ops.stop_gradient(x) for x in arguments)
    to_keys, to_queries = _exponentials(query, key, row, column)
    cosines = ops.matmul(unit_query, transpose(unit_key))
    real_row, real_column = _real(row), _real(column)
    unit_query, query = (x * real_row[..., None] for x in (unit_query, query))
    unit_key, key = (x * real_column[..., None] for x in (unit_key, key))
    # The softmaxes are these exponentials times a factor for each row or column.
    row_factor = 1.0 / ops.maximum(matvec(to_keys, real_column), 1e-30)  # (B, N, T)
    column_factor = 1.0 / ops.maximum(vecmat(real_row, to_queries), 1e-30)
    met_row = ops.matmul(to_keys, unit_key) * row_factor[..., None]
    met_column = _from_left(unit_query, to_queries) * column_factor[..., None]
    similar_row = ops.sum(unit_query * met_row, axis=-1)
    similar_column = ops.sum(unit_key * met_column, axis=-1)

    row, column = rho * row, (1.0 - rho) * column
    value = ops.sum(row * (1.0 - similar_row), axis=-1)
    value += ops.sum(column * (1.0 - similar_column), axis=-1)

    weight_row = (row * row_factor)[..., None]
    weight_column = (column * column_factor)[..., None]
    pull = to_keys * (weight_row * (similar_row[..., None] - cosines))
    similar_column = similar_column[:, :, None]
    pull += to_queries * (transpose(weight_column) * (similar_column - cosines))
    came = ops.matmul(to_queries, weight_column * unit_key)
    left = _from_left(weight_row * unit_query, to_keys)
    gradients = (
        -(row[..., None] * met_row + came) * real_row[..., None],
        -(column[..., None] * met_column + left) * real_column[..., None],
        ops.matmul(pull, key) * real_row[..., None],
        _from_left(query, pull) * real_column[..., None],
    )
    return with_gradient(value, *zip(arguments, gradients, strict=True))


def _exponentials(query, key, row, column):
    """`exp(logits)` relative to the largest of each row, and of each column.

    Padding is put at the mean of the real tokens: it never holds the largest logit.
    """
    mean = vecmat(row, query)[..., None, :]
    query = ops.where(row[..., None] > 0.0, query, mean)
    mean = vecmat(column, key)[..., None, :]
    key = ops.where(column[..., None] > 0.0, key, mean)
    logits = ops.matmul(query, transpose(key))
    return (
        ops.exp(logits - largest(logits, axis=-1)),
        ops.exp(logits - largest(logits, axis=-2)),
    )


def mean_kernel(x, y, x_weight, y_weight, precision):
    """Mean Gaussian kernel between two clouds, `sum_ij a_i b_j k_ij`.

    `k_ij = exp(-precision |x_i - y_j|^2 / 2)`; the gradient with respect to `x_i` is
    `precision a_i (sum_j k_ij b_j y_j - x_i sum_j k_ij b_j)`.

    Args:
        x: float32 `(B, N, T, H)`.
        y: float32 `(B, N, S, H)`.
        x_weight: float32 `(B, 1, T)`.
        y_weight: float32 `(B, 1, S)`.
        precision: float > 0, `1 / bandwidth^2`.

    Returns:
        float32 `(B, N)`, differentiable in `x` and `y`.
    """
    arguments = x, y
    x, y = ops.stop_gradient(x), ops.stop_gradient(y)
    kernel = _gaussian(x, y, precision)
    x_near, y_near = matvec(kernel, y_weight), vecmat(x_weight, kernel)
    value = ops.sum(x_weight * x_near, axis=-1)
    x_weight, y_weight = x_weight[..., None], y_weight[..., None]
    x_pull = ops.matmul(kernel, y_weight * y) - x_near[..., None] * x
    y_pull = _from_left(x_weight * x, kernel) - y_near[..., None] * y
    gradients = precision * x_weight * x_pull, precision * y_weight * y_pull
    return with_gradient(value, *zip(arguments, gradients, strict=True))


def mean_kernel_within(x, weight, precision):
    """Mean Gaussian kernel in one cloud without the pairs of a token with itself.

    `sum_{i != j} a_i a_j k_ij`; arguments and returns as `mean_kernel`.
    """
    argument, x = x, ops.stop_gradient(x)
    others = 1.0 - ops.eye(ops.shape(x)[2], dtype="float32")
    kernel = _gaussian(x, x, precision) * others
    near = matvec(kernel, weight)
    value = ops.sum(weight * near, axis=-1)
    weight = weight[..., None]
    pull = ops.matmul(kernel, weight * x) - near[..., None] * x
    return with_gradient(value, (argument, 2.0 * precision * weight * pull))


def mean_product(plan, query, key):
    """`sum_ij pi_ij q_i . k_j` of a constant plan `(B, N, T, S)`.

    Returns:
        float32 `(B, N)`, differentiable in `query` and `key`.
    """
    x, y = ops.stop_gradient(query), ops.stop_gradient(key)
    met_row = ops.matmul(plan, y)  # (B, N, T, H)
    value = ops.sum(ops.sum(x * met_row, axis=-1), axis=-1)
    return with_gradient(value, (query, met_row), (key, _from_left(x, plan)))


def _from_left(x, matrix):
    """`sum_i M_ij x_i`: `(B, N, T, D)`, `(B, N, T, S)` -> `(B, N, S, D)`."""
    return transpose(ops.matmul(transpose(x), matrix))


def _gaussian(x, y, precision):
    x_square = ops.sum(ops.square(x), axis=-1)[..., None]
    y_square = ops.sum(ops.square(y), axis=-1)[:, :, None]
    exponent = ops.matmul(x, transpose(y)) - 0.5 * x_square - 0.5 * y_square
    return ops.exp(precision * ops.minimum(exponent, 0.0))


def _real(weight):
    return ops.cast(weight > 0.0, "float32")
