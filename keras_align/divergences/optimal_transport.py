"""What AA-OT trains: the cost of entropic optimal transport, plain and fast."""

from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.numerics import Tensor, transpose
from keras_align.divergences.sinkhorn import Convergence, Transport, transport
from keras_align.validation import checks

COSTS = ("cosine", "sqeuclidean")


def optimal_transport(
    query: Tensor,
    key: Tensor,
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
    cost: str = "cosine",
    epsilon: float = 0.01,
    max_iterations: int = 1000,
    tolerance: float = 1e-4,
    return_convergence: bool = False,
) -> Tensor | tuple[Tensor, Convergence]:
    """Transport cost of the entropic plan of AA-OT, `sum_ij c(q_i, k_j) pi_ij`.

    `pi = argmin sum(c * pi) - epsilon * entropy(pi)` over the plans with uniform
    marginals on the real tokens, found by stabilised Sinkhorn iterations and treated as
    a constant in the backward pass, so nothing is stored for an iteration.

    Args:
        query: float tensor `(B, T, N, H)`.
        key: float tensor `(B, S, N, H)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.
        cost: `"cosine"`, `1 - cos(q, k)` in [0, 2], or `"sqeuclidean"`, `|q - k|^2`.
            `epsilon` is on the scale of the cost.
        epsilon: float > 0, weight of the entropy. Below a millionth of the largest
            product `|q . k|`, which float32 does not resolve, that is taken.
        max_iterations: int > 0, bound on the Sinkhorn iterations.
        tolerance: float > 0; iterations stop when the L1 error of the marginals of
            every sample and head is below it.
        return_convergence: boolean, whether to return also the convergence of the
            iterations. Defaults to `False`.

    Returns:
        float32 tensor `(B, N)`, never negative. With `return_convergence=True` a pair
        of it and a named tuple `Convergence`: `marginal_error`, float32 `(B, N)`,
        `converged`, boolean `(B, N)`, and `iterations`, an int32 scalar.

    Example:

    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> y = keras.random.normal((2, 6, 4, 8))
    >>> value, convergence = keras_align.divergences.optimal_transport(
    ...     x, y, epsilon=0.1, return_convergence=True
    ... )
    >>> bool(keras.ops.all(convergence.converged))
    True
    """
    checks.query_and_key({"query": query}, {"key": key}, query_mask, key_mask)
    checks.choice("cost", cost, COSTS)
    checks.positive("epsilon", epsilon)
    checks.positive_integer("max_iterations", max_iterations)
    checks.positive("tolerance", tolerance)
    row = numerics.token_weights(query_mask, query)[:, None]
    column = numerics.token_weights(key_mask, key)[:, None]
    query, key = numerics.as_rows(query), numerics.as_rows(key)
    if cost == "cosine":  # 1 - q . k
        query, key = numerics.l2_normalize(query), numerics.l2_normalize(key)
    else:  # |q|^2 + |k|^2 - 2 q . k
        query, key = numerics.centered(query, key, row, column)
    limits = epsilon, max_iterations, tolerance
    moved, convergence = _transport(query, key, row, column, cost, *limits)
    total = optimal_transport_closed_form(query, key, moved, cost)
    total += ops.stop_gradient(ops.relu(-total))  # what rounding leaves below 0
    total = numerics.zero_if_empty(total, query_mask, key_mask)
    return (total, convergence) if return_convergence else total


def _transport(query, key, row, column, cost, *limits):
    """The `Transport` of queries and keys, a constant, and its `Convergence`."""
    scale = 1.0 if cost == "cosine" else 2.0  # the plan is that of -2 q . k
    query, key = scale * ops.stop_gradient(query), ops.stop_gradient(key)
    moved, convergence = transport(query, key, row, column, *limits)
    # Or TensorFlow differentiates the iterations, in vain, which XLA cannot compile
    # where the numbers of samples and tokens are not known beforehand.
    to_queries, to_keys, row, column = map(ops.stop_gradient, moved)
    return Transport(to_queries, to_keys / scale, row, column), convergence


def optimal_transport_plain(
    query: Tensor, key: Tensor, plan: Tensor, cost: str
) -> Tensor:
    """The equation with the matrix of costs.

    Args:
        query: float32 `(B, N, T, H)`, of length 1 or 0 under the cosine cost.
        key: float32 `(B, N, S, H)`.
        plan: float32 `(B, N, T, S)`, a constant.
        cost: `"cosine"` or `"sqeuclidean"`.

    Returns:
        float32 `(B, N)`, differentiable in `query` and `key`.
    """
    if cost == "cosine":
        costs = 1.0 - ops.matmul(query, transpose(key))
    else:
        differences = query[:, :, :, None] - key[:, :, None]  # (B, N, T, S, H)
        costs = ops.sum(ops.square(differences), axis=-1)
    return ops.sum(plan * costs, axis=(-2, -1))


def optimal_transport_closed_form(
    query: Tensor, key: Tensor, moved: Transport, cost: str
) -> Tensor:
    """`optimal_transport_plain` with its gradient in closed form.

    `sum_ij pi_ij q_i . k_j = sum_i q_i . sum_j pi_ij k_j`: its gradient with respect to
    a query is what the plan transports to it, and no matrix of costs is needed.
    """
    similarity = ops.sum(ops.stop_gradient(query) * moved.to_queries, axis=(-2, -1))
    similarity = numerics.with_gradient(
        similarity, (query, moved.to_queries), (key, moved.to_keys)
    )
    if cost == "cosine":
        return ops.sum(moved.row, axis=-1) - similarity
    total = ops.sum(moved.row * ops.sum(ops.square(query), axis=-1), axis=-1)
    total += ops.sum(moved.column * ops.sum(ops.square(key), axis=-1), axis=-1)
    return total - 2.0 * similarity
