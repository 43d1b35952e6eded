"""What AA-CT trains: bidirectional conditional transport, plain, fast and by chunks.

The plain form is the equation. Automatic differentiation would keep several
`(B, N, T, S)` arrays of every layer until the backward pass and run over them again; in
the closed form the gradients are written down and computed together with the value, so
nothing of that size outlives the forward pass. For long sequences the closed form goes
over chunks of rows, once in each direction, and nothing of that size is ever formed.
"""

from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.chunks import by_chunks, chunk_size
from keras_align.divergences.numerics import (
    Tensor,
    largest,
    matvec,
    transpose,
    transposed_matmul,
    vecmat,
)
from keras_align.validation import checks


def conditional_transport(
    query_critic: Tensor,
    key_critic: Tensor,
    query_navigator: Tensor,
    key_navigator: Tensor,
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
    rho: float = 0.5,
) -> Tensor:
    """Bidirectional conditional transport of AA-CT.

    `pi(k_j|q_i) = softmax_j(t(q_i) . t(k_j))`, `pi(q_i|k_j) = softmax_i(...)`,
    `c_ij = 1 - u(q_i) . u(k_j)` with unit critic features `u`, and
    `L = rho mean_i sum_j pi(k_j|q_i) c_ij + (1 - rho) mean_j sum_i pi(q_i|k_j) c_ij`
    (conditional transport: Zheng & Zhou, arXiv 2012.14100). As the cost is linear in
    `u(k)`, the inner sum is `1 - u(q_i) . attention(t(q), t(k), u(k))_i`.

    Args:
        query_critic: critic features `u` of the queries, `(B, T, N, D)`; normalised
            here.
        key_critic: critic features of the keys, `(B, S, N, D)`.
        query_navigator: navigator features `t` of the queries, `(B, T, N, D)`.
        key_navigator: navigator features of the keys, `(B, S, N, D)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.
        rho: float in [0, 1], weight of the direction from queries to keys.

    Returns:
        float32 tensor `(B, N)` in [0, 2].
    """
    checks.fraction("rho", rho)
    critic = {"query_critic": query_critic}, {"key_critic": key_critic}
    checks.query_and_key(*critic, query_mask, key_mask)
    navigator = {"query_navigator": query_navigator}, {"key_navigator": key_navigator}
    checks.query_and_key(*navigator, query_mask, key_mask)
    query, key = map(numerics.as_rows, (query_navigator, key_navigator))
    form = conditional_transport_closed_form
    if chunk_size(query, key) is not None:
        form = conditional_transport_by_chunks
    total = form(
        numerics.l2_normalize(numerics.as_rows(query_critic)),
        numerics.l2_normalize(numerics.as_rows(key_critic)),
        query,
        key,
        numerics.token_weights(query_mask, query_critic)[:, None],
        numerics.token_weights(key_mask, key_critic)[:, None],
        rho,
    )
    return numerics.zero_if_empty(total, query_mask, key_mask)


def conditional_transport_plain(
    unit_query: Tensor,
    unit_key: Tensor,
    query: Tensor,
    key: Tensor,
    row: Tensor,
    column: Tensor,
    rho: float,
) -> Tensor:
    """The equation with the matrices of costs and plans.

    Args:
        unit_query: float32 `(B, N, T, D)`, critic features of length 1 or 0.
        unit_key: float32 `(B, N, S, D)`.
        query: float32 `(B, N, T, D)`, navigator features; logits are `query . key`.
        key: float32 `(B, N, S, D)`.
        row: float32 `(B, 1, T)`, 1 over the number of real queries, or 0 for padding.
        column: float32 `(B, 1, S)`, the same of the keys.
        rho: float in [0, 1].

    Returns:
        float32 `(B, N)`, differentiable in the first four arguments.
    """
    costs = 1.0 - ops.matmul(unit_query, transpose(unit_key))
    logits = ops.matmul(query, transpose(key))
    lowest = ops.full_like(logits, -3e38)
    to_keys = ops.softmax(ops.where(column[:, :, None] > 0.0, logits, lowest), axis=-1)
    to_queries = ops.softmax(ops.where(row[..., None] > 0.0, logits, lowest), axis=-2)
    forward = ops.sum(row * ops.sum(to_keys * costs, axis=-1), axis=-1)
    backward = ops.sum(column * ops.sum(to_queries * costs, axis=-2), axis=-1)
    return rho * forward + (1.0 - rho) * backward


def conditional_transport_closed_form(
    unit_query: Tensor,
    unit_key: Tensor,
    query: Tensor,
    key: Tensor,
    row: Tensor,
    column: Tensor,
    rho: float,
) -> Tensor:
    """`conditional_transport_plain` with its gradient in closed form.

    With the cosines `k_ij`, `P = pi(k|q)` and `R = pi(q|k)`, the paper's cost is
    `rho sum_i a_i (1 - r_i) + (1 - rho) sum_j b_j (1 - s_j)`, `r_i = sum_j P_ij k_ij`,
    `s_j = sum_i R_ij k_ij`; its gradient with respect to the logits is
    `rho a_i P_ij (r_i - k_ij) + (1 - rho) b_j R_ij (s_j - k_ij)`.
    """
    arguments = unit_query, unit_key, query, key
    unit_query, unit_key, query, key = (ops.stop_gradient(x) for x in arguments)
    to_keys, to_queries = _exponentials(query, key, row, column)
    real_row, real_column = _real(row), _real(column)
    unit_query, query = (x * real_row[..., None] for x in (unit_query, query))
    unit_key, key = (x * real_column[..., None] for x in (unit_key, key))
    row_normaliser, column_normaliser = _normalisers(to_keys, to_queries, row, column)
    attended_keys = row_normaliser * ops.matmul(to_keys, unit_key)
    attended_queries = column_normaliser * transposed_matmul(to_queries, unit_query)
    row_similarity = ops.sum(unit_query * attended_keys, axis=-1)  # r, (B, N, T)
    column_similarity = ops.sum(unit_key * attended_queries, axis=-1)  # s, (B, N, S)
    row, column = rho * row, (1.0 - rho) * column
    value = ops.sum(row * (1.0 - row_similarity), axis=-1)
    value += ops.sum(column * (1.0 - column_similarity), axis=-1)
    row_scale = row[..., None] * row_normaliser
    column_scale = column[..., None] * column_normaliser
    cosines = ops.matmul(unit_query, transpose(unit_key))
    logits_gradient = to_keys * (row_scale * (row_similarity[..., None] - cosines))
    difference = column_similarity[:, :, None] - cosines
    logits_gradient += to_queries * (transpose(column_scale) * difference)
    unit_query_gradient = -row[..., None] * attended_keys
    unit_query_gradient -= ops.matmul(to_queries, column_scale * unit_key)
    unit_key_gradient = -column[..., None] * attended_queries
    unit_key_gradient -= transposed_matmul(to_keys, row_scale * unit_query)
    gradients = (
        unit_query_gradient * real_row[..., None],
        unit_key_gradient * real_column[..., None],
        ops.matmul(logits_gradient, key) * real_row[..., None],
        transposed_matmul(logits_gradient, query) * real_column[..., None],
    )
    return numerics.with_gradient(value, *zip(arguments, gradients, strict=True))


def conditional_transport_by_chunks(
    unit_query: Tensor,
    unit_key: Tensor,
    query: Tensor,
    key: Tensor,
    row: Tensor,
    column: Tensor,
    rho: float,
) -> Tensor:
    """`conditional_transport_closed_form` in memory that is linear in the tokens.

    The logits and cosines are computed once in each direction, twice in all.
    """
    arguments = unit_query, unit_key, query, key
    unit_query, unit_key, query, key = (ops.stop_gradient(x) for x in arguments)
    to_keys, *forward = _one_direction(unit_query, unit_key, query, key, row, column)
    to_queries, *back = _one_direction(unit_key, unit_query, key, query, column, row)
    value = rho * to_keys + (1.0 - rho) * to_queries
    back = back[1], back[0], back[3], back[2]  # gradients of queries first
    both = zip(forward, back, strict=True)
    gradients = [rho * one + (1.0 - rho) * other for one, other in both]
    return numerics.with_gradient(value, *zip(arguments, gradients, strict=True))


def _one_direction(unit_query, unit_key, query, key, row, column):
    """`sum_i a_i (1 - r_i)`, and its gradients with respect to the first four."""
    real_column = _real(column)[..., None]
    unit_key, key = unit_key * real_column, key * real_column
    present = transpose(real_column) > 0.0

    def of_rows(unit_query, query, row):
        real_row = _real(row)
        unit_query, query = unit_query * real_row, query * real_row
        logits = ops.matmul(query, transpose(key))
        logits = ops.where(present, logits, ops.full_like(logits, -3e38))
        plan = ops.softmax(logits, axis=-1)
        attended = ops.matmul(plan, unit_key)
        similarity = ops.sum(unit_query * attended, axis=-1, keepdims=True)  # r
        plan = row * plan
        cosines = ops.matmul(unit_query, transpose(unit_key))
        slope = plan * (similarity - cosines)
        of_these = [row * (1.0 - similarity), -row * attended, ops.matmul(slope, key)]
        return of_these, [
            -transposed_matmul(plan, unit_query) * real_column,
            transposed_matmul(slope, query) * real_column,
        ]

    rows = unit_query, query, row[..., None]
    like = [query[..., :1], unit_query, query], [unit_key, key]
    of_queries, of_keys = by_chunks(of_rows, rows, chunk_size(query, key), like)
    costs, *query_gradients = of_queries
    gradients = query_gradients[0], of_keys[0], query_gradients[1], of_keys[1]
    return ops.sum(costs, axis=(-2, -1)), *gradients


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


def _normalisers(to_keys, to_queries, row, column):
    """What makes the exponentials the plans, `(B, N, T, 1)` and `(B, N, S, 1)`."""
    of_rows = ops.maximum(matvec(to_keys, _real(column)), 1e-30)
    of_columns = ops.maximum(vecmat(_real(row), to_queries), 1e-30)
    return (1.0 / of_rows)[..., None], (1.0 / of_columns)[..., None]


def _real(weight):
    return ops.cast(weight > 0.0, "float32")
