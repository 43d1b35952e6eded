"""How the paper measures alignment: maximum mean discrepancy, plain and fast."""

from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.chunks import by_chunks, chunk_size
from keras_align.divergences.numerics import (
    Tensor,
    matvec,
    transpose,
    transposed_matmul,
    vecmat,
)
from keras_align.validation import checks

# Beyond these bandwidths the kernel is 0 or 1 in float32 whatever the distance.
_BANDWIDTHS = 1e-15, 1e15


def maximum_mean_discrepancy(
    query: Tensor,
    key: Tensor,
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
    bandwidth: float = 1.0,
    unbiased: bool = False,
) -> Tensor:
    """Squared maximum mean discrepancy with a Gaussian kernel.

    `E[k(q, q')] + E[k(k, k')] - 2 E[k(q, k)]`, `k(x, y) = exp(-|x - y|^2 / (2 s^2))`
    (Gretton et al. 2012, eq. 3 unbiased, eq. 5 biased); how the paper measures
    alignment.

    Args:
        query: float tensor `(B, T, N, H)`.
        key: float tensor `(B, S, N, H)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.
        bandwidth: float > 0, the kernel's standard deviation `s`.
        unbiased: whether a token is left out of the pairs with itself. A single token
            has no other pair and keeps that one.

    Returns:
        float32 tensor `(B, N)`; in [0, 2] when biased, possibly below 0 when unbiased.
    """
    checks.query_and_key({"query": query}, {"key": key}, query_mask, key_mask)
    checks.positive("bandwidth", bandwidth)
    row = numerics.token_weights(query_mask, query)[:, None]
    column = numerics.token_weights(key_mask, key)[:, None]
    query, key = numerics.as_rows(query), numerics.as_rows(key)
    query, key = numerics.centered(query, key, row, column)
    total = maximum_mean_discrepancy_closed_form(
        query, key, row, column, kernel_precision(bandwidth), unbiased
    )
    return numerics.zero_if_empty(total, query_mask, key_mask)


def kernel_precision(bandwidth: float) -> float:
    """`1 / bandwidth^2` of a float > 0, bounded so that float32 can hold it."""
    narrowest, widest = _BANDWIDTHS
    return min(max(float(bandwidth), narrowest), widest) ** -2.0


def maximum_mean_discrepancy_plain(
    query: Tensor,
    key: Tensor,
    row: Tensor,
    column: Tensor,
    precision: float,
    unbiased: bool,
) -> Tensor:
    """The equation with the matrices of distances.

    Args:
        query: float32 `(B, N, T, H)`.
        key: float32 `(B, N, S, H)`.
        row: float32 `(B, 1, T)`, 1 over the number of real queries, or 0 for padding.
        column: float32 `(B, 1, S)`, the same of the keys.
        precision: float > 0, `1 / bandwidth^2`.
        unbiased: boolean.

    Returns:
        float32 `(B, N)`, differentiable in `query` and `key`.
    """

    def kernel(x, y):
        differences = x[:, :, :, None] - y[:, :, None]  # (B, N, T, S, H)
        return ops.exp(-0.5 * precision * ops.sum(ops.square(differences), axis=-1))

    def within(x, weight):
        of_others = kernel(x, x) * _other_pairs(x)
        of_others = ops.sum(weight * matvec(of_others, weight), axis=-1)
        return _mean_within(of_others, weight, unbiased)

    between = ops.sum(row * matvec(kernel(query, key), column), axis=-1)
    return within(query, row) + within(key, column) - 2.0 * between


def maximum_mean_discrepancy_closed_form(
    query: Tensor,
    key: Tensor,
    row: Tensor,
    column: Tensor,
    precision: float,
    unbiased: bool,
) -> Tensor:
    """`maximum_mean_discrepancy_plain` with its gradient in closed form."""
    total = -2.0 * _mean_kernel(query, key, row, column, precision)
    for x, weight in ((query, row), (key, column)):
        of_others = _mean_kernel_of_others(x, weight, precision)
        total += _mean_within(of_others, weight, unbiased)
    return total


def _mean_within(of_others, weight, unbiased):
    """Mean kernel over the pairs of one set of tokens, `(B, N)`.

    Args:
        of_others: `sum_{i != j} a_i a_j k_ij`, `(B, N)`.
        weight: `a`, `(B, 1, T)`.
        unbiased: whether only these pairs count.
    """
    of_themselves = ops.sum(ops.square(weight), axis=-1)  # 1 / count, (B, 1)
    if not unbiased:
        return of_others + of_themselves
    alone = of_themselves > 0.999
    ones = ops.ones_like(of_themselves)
    mean = of_others / ops.where(alone, ones, ones - of_themselves)
    return ops.where(alone, ops.ones_like(mean), mean)


def _mean_kernel(x, y, x_weight, y_weight, precision):
    """`sum_ij a_i b_j k_ij`, `(B, N)`, `k_ij = exp(-precision |x_i - y_j|^2 / 2)`.

    The gradient with respect to `x_i` is
    `precision a_i (sum_j k_ij b_j y_j - x_i sum_j k_ij b_j)`.
    """
    arguments = x, y
    x, y = ops.stop_gradient(x), ops.stop_gradient(y)
    x_weight, y_weight = x_weight[..., None], y_weight[..., None]

    def of_rows(x, x_weight):
        kernel = _gaussian(x, y, precision)
        x_density = matvec(kernel, y_weight[..., 0])[..., None]
        y_density = vecmat(x_weight[..., 0], kernel)[..., None]
        x_pull = ops.matmul(kernel, y_weight * y) - x_density * x
        return [x_density, x_pull], [y_density, transposed_matmul(kernel, x_weight * x)]

    like = [x[..., :1], x], [y[..., :1], y]
    size = chunk_size(x, y)
    (x_density, x_pull), sums = by_chunks(of_rows, (x, x_weight), size, like)
    y_pull = sums[1] - sums[0] * y
    return numerics.with_gradient(
        ops.sum(x_weight * x_density, axis=(-2, -1)),
        (arguments[0], precision * x_weight * x_pull),
        (arguments[1], precision * y_weight * y_pull),
    )


def _mean_kernel_of_others(x, weight, precision):
    """`sum_{i != j} a_i a_j k_ij`, `(B, N)`; see `_mean_kernel`."""
    argument, x = x, ops.stop_gradient(x)
    weight, number = weight[..., None], _numbers(x)

    def of_rows(row, row_number):
        other = ops.cast(row_number != transpose(number), "float32")
        kernel = _gaussian(row, x, precision) * other
        density = matvec(kernel, weight[..., 0])[..., None]
        return [density, ops.matmul(kernel, weight * x) - density * row], []

    like = [x[..., :1], x], []
    (density, pull), _ = by_chunks(of_rows, (x, number), chunk_size(x, x), like)
    return numerics.with_gradient(
        ops.sum(weight * density, axis=(-2, -1)),
        (argument, 2.0 * precision * weight * pull),
    )


def _numbers(x):
    """Number of each token, `(1, 1, T, 1)`."""
    return ops.arange(ops.shape(x)[2])[None, None, :, None]


def _other_pairs(x):
    """1 for the pairs of different tokens, 0 for a token with itself, `(T, T)`."""
    return 1.0 - ops.eye(ops.shape(x)[2], dtype="float32")


def _gaussian(x, y, precision):
    x_square = ops.sum(ops.square(x), axis=-1)[..., None]
    y_square = ops.sum(ops.square(y), axis=-1)[:, :, None]
    exponent = ops.matmul(x, transpose(y)) - 0.5 * x_square - 0.5 * y_square
    return ops.exp(precision * ops.minimum(exponent, 0.0))
