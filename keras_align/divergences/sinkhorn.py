"""Entropic optimal transport: stabilised Sinkhorn iterations that XLA compiles."""

from keras import ops

from keras_align.divergences import numerics

# Scalings of the kernel (matrix-vector products) between two absorptions of the
# scalings in the potentials (which need an exponential for each pair).
_SCALINGS = 5
# The entropy weight starts at the largest |q . k| divided by this, so that entries of
# the first kernel are in exp([-25, 25]), and then falls by the factor to `epsilon`.
_START, _FACTOR = 25.0, 4.0
# Over-relaxation at `epsilon`, once the error is below the bound.
_RELAXATION, _NEAR = 1.8, 0.5
_LARGEST_EXPONENT = 60.0
_UNKNOWN = 1e9  # the error before it is first measured


def transport_plan(query, key, row, column, epsilon, max_iterations, tolerance):
    """Plan `pi` that minimises `-sum_ij pi_ij q_i . k_j - epsilon * entropy(pi)`.

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
    are over-relaxed (Thibault et al. 2021, "Overrelaxed Sinkhorn-Knopp algorithm for
    regularized optimal transport").

    Args:
        query: float32 `(B, N, T, H)`.
        key: float32 `(B, N, H, S)`.
        row: float32 `(B, 1, T)`, marginal of the queries; 0 for padding.
        column: float32 `(B, 1, S)`, marginal of the keys.
        epsilon: float > 0.
        max_iterations: int > 0; rounded up to a multiple of 5.
        tolerance: float > 0, bound on the L1 error of the marginals.

    Returns:
        float32 `(B, N, T, S)`; 0 on padding. Column marginals are exact. When the
        iterations run out before `epsilon` is reached, it is the plan of a larger one.
    """
    query = ops.where(row[..., None] > 0.0, query, 0.0)
    key = ops.where(column[:, :, None] > 0.0, key, 0.0)
    products = ops.matmul(query, key)  # (B, N, T, S)
    row = ops.broadcast_to(row, ops.shape(query[..., 0]))
    column = ops.broadcast_to(column, ops.shape(key[:, :, 0]))

    def kernel_of(f, g, entropy):
        exponent = (f[..., None] + g[..., None, :] + products) / entropy[..., None]
        return ops.exp(ops.minimum(exponent, _LARGEST_EXPONENT))

    def step(f, g, entropy, error):
        kernel = kernel_of(f, g, entropy)
        far = ops.logical_or(entropy > epsilon, error > _NEAR)
        power = ops.where(far, -1.0, -_RELAXATION)
        u, v = ops.ones_like(f), ops.ones_like(g)
        for _ in range(_SCALINGS):
            u, v, error = _scale(kernel, row, column, u, v, power)
        error = ops.where(entropy > epsilon, _UNKNOWN, error)
        f, g = f + entropy * ops.log(u), g + entropy * ops.log(v)
        return f, g, _snap(entropy / _FACTOR, epsilon), error

    def unfinished(f, g, entropy, error):
        return ops.any(error > tolerance)

    f, g = ops.zeros_like(row), ops.zeros_like(column)
    start = _snap(_largest_product(query, key) / _START, epsilon)  # (B, N, 1)
    f, g, entropy, _ = ops.while_loop(
        unfinished,
        step,
        (f, g, start, ops.full_like(start, _UNKNOWN)),
        maximum_iterations=-(-max_iterations // _SCALINGS),
    )
    kernel = kernel_of(f, g, entropy)
    u, v, _ = _scale(kernel, row, column, ops.ones_like(f), ops.ones_like(g), -1.0)
    return (row * u)[..., None] * kernel * (column * v)[..., None, :]


def _scale(kernel, row, column, u, v, power):
    """One pass over rows and columns, and the L1 error of the rows before it."""
    mass = _mass(u * numerics.matvec(kernel, column * v))
    error = ops.sum(row * ops.abs(mass - 1.0), axis=-1, keepdims=True)
    u = u * ops.power(mass, power)
    mass = _mass(v * numerics.vecmat(row * u, kernel))
    return u, v * ops.power(mass, power), error


def _snap(entropy, epsilon):
    """The wanted weight if that is near or passed; rounding decides nothing."""
    return ops.where(entropy > 1.1 * epsilon, entropy, epsilon)


def _mass(mass):
    """Without mass, where there is padding alone, all stays as it is."""
    return ops.where(mass > 0.0, ops.clip(mass, 1e-18, 1e18), 1.0)


def _largest_product(query, key):
    """Bound on `|q_i . k_j|` of each sample and head, `(B, N, 1)`."""
    q_square = numerics.largest(ops.sum(ops.square(query), axis=-1), axis=-1)
    k_square = numerics.largest(ops.sum(ops.square(key), axis=-2), axis=-1)
    return ops.sqrt(q_square) * ops.sqrt(k_square)
