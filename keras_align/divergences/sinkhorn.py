"""Entropic optimal transport: stabilised Sinkhorn iterations that XLA compiles."""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.chunks import by_chunks, chunk_size
from keras_align.divergences.numerics import Tensor, transpose, transposed_matmul

# Scalings of the kernel (matrix-vector products) between two absorptions of the
# scalings in the potentials (which need an exponential for each pair).
_SCALINGS = 5
# The entropy weight starts at the largest |q . k| divided by this, so that entries of
# the first kernel are in exp([-25, 25]), and then falls by the factor to `epsilon`.
_START, _FACTOR = 25.0, 4.0
# Over-relaxation at `epsilon`, once the error is below the bound. It multiplies a
# scaling by a factor in this range at most: where a row has hardly any mass yet, a
# power of its inverse would leave float32.
_RELAXATION, _NEAR = 1.8, 0.5
_SMALLEST_FACTOR, _LARGEST_FACTOR = 0.25, 4.0
# The least entropy weight relative to the largest |q . k|: the exponents of the kernel
# are differences of numbers of that size, which float32 holds to 6e-8.
_RESOLUTION = 1e-6
_SMALLEST, _LARGEST = 1e-30, 1e30  # entropy weights, whatever is asked for
_LARGEST_EXPONENT = 60.0
_UNKNOWN = 1e9  # the error before it is first measured


class Convergence(NamedTuple):
    """Convergence of the Sinkhorn iterations.

    Attributes:
        marginal_error: float32 `(B, N)`, L1 error of the plan's marginals.
        converged: boolean `(B, N)`, whether the plan is that of the wanted `epsilon`
            and its error is within the tolerance.
        iterations: int32 scalar, the iterations that were taken: those of the sample
            and head that needed the most.
    """

    marginal_error: Tensor
    converged: Tensor
    iterations: Tensor


class Transport(NamedTuple):
    """What a plan `pi` does: all that values and gradients of linear costs need.

    Attributes:
        to_queries: float32 `(B, N, T, H)`, `sum_j pi_ij k_j`.
        to_keys: float32 `(B, N, S, H)`, `sum_i pi_ij q_i`.
        row: float32 `(B, N, T)`, `sum_j pi_ij`.
        column: float32 `(B, N, S)`, `sum_i pi_ij`.
    """

    to_queries: Tensor
    to_keys: Tensor
    row: Tensor
    column: Tensor


class _Kernel(NamedTuple):
    """`exp((f_i + g_j + q_i . k_j) / epsilon)`, whole or as chunks of rows need it."""

    rows: tuple[Tensor, ...]
    of_rows: Callable[..., Tensor]
    size: int | None


def transport(
    query: Tensor,
    key: Tensor,
    row: Tensor,
    column: Tensor,
    epsilon: float,
    max_iterations: int,
    tolerance: float,
) -> tuple[Transport, Convergence]:
    """Transport by the plan `pi` of least cost `-q_i . k_j` under an entropy.

    `pi = argmin -sum_ij pi_ij q_i . k_j - epsilon * entropy(pi)`.
    Costs that differ from `-q_i . k_j` by terms of the row or the column alone have the
    same plan, so this is the plan of the cosine and the squared Euclidean cost.

    Alternating scalings `u = 1 / (K (b v))`, `v = 1 / (K^T (a u))` of the kernel
    `K_ij = exp((f_i + g_j + q_i . k_j) / epsilon)`; every few of them the logarithms of
    `u` and `v` move into the potentials `f` and `g`, so that nothing leaves the range
    of float32; then `pi_ij = a_i u_i K_ij v_j b_j` (Schmitzer 2019, "Stabilized sparse
    scaling algorithms for entropy regularized transport problems", with its epsilon
    scaling). After a pass over rows and columns no entry of the kernel is above the
    number of tokens and no mean of a row below its inverse; hence the next kernel, of a
    smaller `epsilon`, neither overflows nor vanishes. Near the solution the scalings
    are over-relaxed, by a bounded factor (Thibault et al. 2021, "Overrelaxed
    Sinkhorn-Knopp algorithm for regularized optimal transport").

    For long sequences the kernel is not kept but made by chunks of rows for each
    scaling, in memory that is linear in the tokens.

    Args:
        query: float32 `(B, N, T, H)`.
        key: float32 `(B, N, S, H)`.
        row: float32 `(B, 1, T)`, marginal of the queries; 0 for padding.
        column: float32 `(B, 1, S)`, marginal of the keys.
        epsilon: float > 0. Below a millionth of the largest `|q_i . k_j|`, which
            float32 does not resolve, that is taken.
        max_iterations: int > 0; rounded up to a multiple of 5.
        tolerance: float > 0, bound on the L1 error of the marginals.

    Returns:
        Pair of a `Transport`, 0 on padding, and a `Convergence`. Column marginals are
        exact. When the iterations run out before `epsilon` is reached, it is the plan
        of a larger one.
    """
    query = ops.where(row[..., None] > 0.0, query, ops.zeros_like(query))
    key = ops.where(column[..., None] > 0.0, key, ops.zeros_like(key))
    row = ops.broadcast_to(row, ops.shape(query[..., 0]))
    column = ops.broadcast_to(column, ops.shape(key[..., 0]))
    largest = _largest_product(query, key)  # (B, N, 1)
    epsilon = ops.cast(min(max(float(epsilon), _SMALLEST), _LARGEST), "float32")
    epsilon = ops.maximum(_RESOLUTION * largest, epsilon)

    kernel_of = _kernel_of(query, key)
    f, g, entropy, steps = _potentials(
        kernel_of, row, column, largest, epsilon, max_iterations, tolerance
    )
    kernel = kernel_of(f, g, entropy)
    ones, exact = (ops.ones_like(f), ops.ones_like(g)), ops.zeros_like(epsilon, "bool")
    u, v, _ = _scale(kernel, row, column, *ones, exact)
    moved = _transport(kernel, row * u, column * v, query, key)
    error = ops.sum(ops.abs(moved.row - row), axis=-1)
    converged = ops.logical_and(error <= tolerance, (entropy <= epsilon)[..., 0])
    return moved, Convergence(error, converged, _SCALINGS * steps)


def _transport(kernel, row, column, query, key):
    """The `Transport` by `pi_ij = row_i K_ij column_j`."""

    def of_rows(row, query, *rows):
        plan = row * kernel.of_rows(*rows) * column[..., None, :]
        to_queries, to_keys = ops.matmul(plan, key), transposed_matmul(plan, query)
        of_these = [to_queries, ops.sum(plan, axis=-1, keepdims=True)]
        return of_these, [to_keys, ops.sum(plan, axis=-2)[..., None]]

    rows = row[..., None], query, *kernel.rows
    like = [query, query[..., :1]], [key, key[..., :1]]
    of_queries, of_keys = by_chunks(of_rows, rows, kernel.size, like)
    (to_queries, of_row), (to_keys, of_column) = of_queries, of_keys
    return Transport(to_queries, to_keys, of_row[..., 0], of_column[..., 0])


def _potentials(kernel_of, row, column, largest, epsilon, max_iterations, tolerance):
    """The potentials `f` and `g`, the entropy weight to use next, the steps taken."""

    def step(f, g, entropy, error, steps):
        kernel = kernel_of(f, g, entropy)
        relaxed = ops.logical_and(entropy <= epsilon, error <= _NEAR)
        u, v = ops.ones_like(f), ops.ones_like(g)
        for _ in range(_SCALINGS):
            u, v, error = _scale(kernel, row, column, u, v, relaxed)
        error = ops.where(entropy > epsilon, ops.full_like(error, _UNKNOWN), error)
        f, g = f + entropy * ops.log(u), g + entropy * ops.log(v)
        return f, g, _snap(entropy / _FACTOR, epsilon), error, steps + 1

    def unfinished(f, g, entropy, error, steps):
        return ops.any(error > tolerance)

    entropy = _snap(largest / _START, epsilon)
    error, steps = ops.full_like(entropy, _UNKNOWN), ops.zeros((), "int32")
    f, g, entropy, _, steps = ops.while_loop(
        unfinished,
        step,
        (ops.zeros_like(row), ops.zeros_like(column), entropy, error, steps),
        maximum_iterations=-(-max_iterations // _SCALINGS),
    )
    return f, g, entropy, steps


def _kernel_of(query, key):
    """A function that makes the `_Kernel` of potentials and an entropy weight."""
    size, key = chunk_size(query, key), transpose(key)

    def exponential(products, f, g, entropy):
        exponent = (f + g[..., None, :] + products) / entropy[..., None]
        return ops.exp(ops.minimum(exponent, _LARGEST_EXPONENT))

    def of_chunks(f, g, entropy):
        def of_rows(f, query):
            return exponential(ops.matmul(query, key), f, g, entropy)

        return _Kernel((f[..., None], query), of_rows, size)

    if size is not None:
        return of_chunks
    products = ops.matmul(query, key)  # (B, N, T, S)

    def whole(f, g, entropy):
        kernel = exponential(products, f[..., None], g, entropy)
        return _Kernel((kernel,), lambda kernel: kernel, None)

    return whole


def _scale(kernel, row, column, u, v, relaxed):
    """One pass over rows and columns, and the L1 error of the rows before it."""

    def of_rows(row, u, *rows):
        chunk = kernel.of_rows(*rows)
        mass = _mass(u * numerics.matvec(chunk, column * v)[..., None])
        u = u * _correction(mass, relaxed[..., None])
        return [mass, u], [numerics.vecmat((row * u)[..., 0], chunk)[..., None]]

    rows = row[..., None], u[..., None], *kernel.rows
    like = [u[..., None], u[..., None]], [v[..., None]]
    (mass, u), (column_mass,) = by_chunks(of_rows, rows, kernel.size, like)
    error = ops.sum(row * ops.abs(mass[..., 0] - 1.0), axis=-1, keepdims=True)
    mass = _mass(v * column_mass[..., 0])
    return u[..., 0], v * _correction(mass, relaxed), error


def _correction(mass, relaxed):
    """`1 / mass`, which makes the mass 1, or somewhat beyond it."""
    beyond = ops.power(mass, 1.0 - _RELAXATION)
    beyond = ops.clip(beyond, _SMALLEST_FACTOR, _LARGEST_FACTOR)
    return ops.where(relaxed, beyond, ops.ones_like(beyond)) / mass


def _snap(entropy, epsilon):
    """The wanted weight if that is near or passed; rounding decides nothing."""
    return ops.where(entropy > 1.1 * epsilon, entropy, epsilon)


def _mass(mass):
    """Without mass, where there is padding alone, all stays as it is."""
    return ops.where(mass > 0.0, ops.clip(mass, 1e-18, 1e18), ops.ones_like(mass))


def _largest_product(query, key):
    """Bound on `|q_i . k_j|` of each sample and head, `(B, N, 1)`."""
    q_square = numerics.largest(ops.sum(ops.square(query), axis=-1), axis=-1)
    k_square = numerics.largest(ops.sum(ops.square(key), axis=-1), axis=-1)
    return ops.sqrt(q_square) * ops.sqrt(k_square)
