"""Entropic optimal transport: log-domain Sinkhorn iterations that XLA compiles."""

from keras import ops

# Iterations start at this entropy weight, relative to the largest cost, and halve it
# until the wanted one is reached (epsilon scaling; Schmitzer 2019).
_ANNEAL = 0.5


def transport_plan(costs, row_weights, column_weights, epsilon, max_iterations, tolerance):
    """Plan `pi` that minimises `sum(c * pi) - epsilon * entropy(pi)`.

    Dual ascent on the potentials `f`, `g` in the log domain (Peyre & Cuturi 2019,
    section 4.4): `f_i = -epsilon log sum_j b_j exp((g_j - c_ij) / epsilon)`, then `g`
    alike; `pi_ij = a_i b_j exp((f_i + g_j - c_ij) / epsilon)`.

    Args:
        costs: float32 `(B, N, T, S)`, non-negative.
        row_weights: float32 `(B, T)`, marginal of the queries; 0 for padding.
        column_weights: float32 `(B, S)`, marginal of the keys.
        epsilon: float > 0.
        max_iterations: int > 0.
        tolerance: float > 0, bound on the L1 error of the row marginal.

    Returns:
        float32 `(B, N, T, S)`; zero on padding. Column marginals are exact.
    """
    _check(epsilon, max_iterations, tolerance)
    log_row = _log_weights(row_weights)[:, None, :]  # (B, 1, T)
    log_column = _log_weights(column_weights)[:, None, :]  # (B, 1, S)
    row = row_weights[:, None, :]

    def step(iteration, annealed, f, g, error):
        new_f = -annealed * _log_sum_exp((g[..., None, :] - costs) / annealed + log_column[..., None, :], -1)
        ratio = ops.exp(ops.clip((f - new_f) / annealed, -20.0, 20.0))
        error = ops.max(ops.sum(row * ops.abs(ratio - 1.0), axis=-1))
        new_g = -annealed * _log_sum_exp((new_f[..., None] - costs) / annealed + log_row[..., None], -2)
        error = ops.where(annealed > epsilon, 1e9, error)
        return iteration + 1, ops.maximum(annealed * _ANNEAL, epsilon), new_f, new_g, error

    def unfinished(iteration, annealed, f, g, error):
        return error > tolerance

    start = ops.maximum(ops.max(costs), epsilon)
    f = ops.zeros_like(costs[..., 0]) 
    g = ops.zeros_like(costs[..., 0, :])
    _, _, f, g, _ = ops.while_loop(
        unfinished,
        step,
        (0, start, f, g, ops.full((), 1e9, "float32")),
        maximum_iterations=max_iterations,
    )
    exponent = (f[..., None] + g[..., None, :] - costs) / epsilon
    weights = row[..., None] * column_weights[:, None, None, :]
    return weights * ops.exp(ops.where(weights > 0.0, exponent, 0.0))


def _log_sum_exp(x, axis):
    top = ops.max(x, axis=axis, keepdims=True)
    return ops.squeeze(top, axis) + ops.log(ops.sum(ops.exp(x - top), axis=axis))


def _log_weights(weights):
    """Logarithm of the weights, -1e30 (finite) for weight 0."""
    return ops.where(weights > 0.0, ops.log(ops.where(weights > 0.0, weights, 1.0)), -1e30)


def _check(epsilon, max_iterations, tolerance):
    for name, value in (
        ("epsilon", epsilon),
        ("max_iterations", max_iterations),
        ("tolerance", tolerance),
    ):
        if not value > 0:
            raise ValueError(f"Argument `{name}` must be positive. Received: {name}={value}")
