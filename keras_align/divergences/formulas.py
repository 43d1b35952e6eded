"""The paper's divergences between queries and keys, as pure functions of tensors.

Axes: B batch, T queries, S keys, N heads, H head size, D feature. Masks are boolean,
True for a real token. Every function computes in float32 and returns one number for
each sample and head, float32 `(B, N)`, which is 0 where a sample has no real query or
no real key.

Source: "Alignment Attention by Matching Key and Query Distributions", Zhang et al.,
NeurIPS 2021 (arXiv 2110.12567).
"""

from keras import ops

from keras_align.divergences import closed_form, numerics
from keras_align.divergences.sinkhorn import transport_plan
from keras_align.validation import checks

COSTS = ("cosine", "sqeuclidean")


def adversarial(query_logits, key_logits, query_mask=None, key_mask=None):
    """The GAN objective of AA-GAN, `E_q[log D(q)] + E_k[log(1 - D(k))]`.

    `D` is the sigmoid of the logits. With the best discriminator the value is twice the
    Jensen-Shannon divergence minus `2 log 2`.

    Args:
        query_logits: float tensor `(B, T, N)`.
        key_logits: float tensor `(B, S, N)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.

    Returns:
        float32 tensor `(B, N)`, never positive.
    """
    clouds = {"query_logits": query_logits}, {"key_logits": key_logits}
    checks.clouds(*clouds, query_mask, key_mask)
    query_logits, key_logits = numerics.to_float32(query_logits, key_logits)
    query_weight = numerics.token_weights(query_mask, query_logits[..., None])
    key_weight = numerics.token_weights(key_mask, key_logits[..., None])
    log_real = ops.einsum("bt,btn->bn", query_weight, -ops.softplus(-query_logits))
    log_fake = ops.einsum("bs,bsn->bn", key_weight, -ops.softplus(key_logits))
    return _zero_if_empty(log_real + log_fake, query_mask, key_mask)


def confusion(query_logits, key_logits, query_mask=None, key_mask=None):
    """How sure a discriminator is, `E_q[f(q)] + E_k[f(k)]`.

    `f = -(log D + log(1 - D)) / 2` is the cross-entropy with an even guess. It is
    smallest, `2 log 2` in all, where `D = 1/2` everywhere, and its gradient with
    respect to a logit, `D - 1/2`, is bounded and vanishes there. Source: Tzeng et al.,
    "Simultaneous Deep Transfer Across Domains and Tasks", ICCV 2015 (arXiv 1510.02192),
    the domain confusion loss.

    Args:
        query_logits: float tensor `(B, T, N)`.
        key_logits: float tensor `(B, S, N)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.

    Returns:
        float32 tensor `(B, N)`, at least `2 log 2`.
    """
    clouds = {"query_logits": query_logits}, {"key_logits": key_logits}
    checks.clouds(*clouds, query_mask, key_mask)
    query_logits, key_logits = numerics.to_float32(query_logits, key_logits)
    query_weight = numerics.token_weights(query_mask, query_logits[..., None])
    key_weight = numerics.token_weights(key_mask, key_logits[..., None])

    def doubt(weight, logits):
        both = ops.softplus(logits) + ops.softplus(-logits)
        return 0.5 * ops.einsum("bt,btn->bn", weight, both)

    total = doubt(query_weight, query_logits) + doubt(key_weight, key_logits)
    return _zero_if_empty(total, query_mask, key_mask)


def conditional_transport(
    query_critic,
    key_critic,
    query_navigator,
    key_navigator,
    query_mask=None,
    key_mask=None,
    rho=0.5,
):
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
    checks.clouds(*critic, query_mask, key_mask)
    navigator = {"query_navigator": query_navigator}, {"key_navigator": key_navigator}
    checks.clouds(*navigator, query_mask, key_mask)
    total = closed_form.conditional_cost(
        numerics.l2_normalize(numerics.as_rows(query_critic)),
        numerics.l2_normalize(numerics.as_rows(key_critic)),
        numerics.as_rows(query_navigator),
        numerics.as_rows(key_navigator),
        numerics.token_weights(query_mask, query_critic)[:, None],
        numerics.token_weights(key_mask, key_critic)[:, None],
        rho,
    )
    return _zero_if_empty(total, query_mask, key_mask)


def optimal_transport(
    query,
    key,
    query_mask=None,
    key_mask=None,
    cost="cosine",
    epsilon=0.01,
    max_iterations=1000,
    tolerance=1e-4,
):
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
        epsilon: float > 0, weight of the entropy.
        max_iterations: int > 0, bound on the Sinkhorn iterations.
        tolerance: float > 0; iterations stop when the L1 error of the marginals of
            every sample and head is below it.

    Returns:
        float32 tensor `(B, N)`, never negative.
    """
    checks.clouds({"query": query}, {"key": key}, query_mask, key_mask)
    checks.choice("cost", cost, COSTS)
    checks.positive("epsilon", epsilon)
    checks.positive_integer("max_iterations", max_iterations)
    checks.positive("tolerance", tolerance)
    row = numerics.token_weights(query_mask, query)[:, None]
    column = numerics.token_weights(key_mask, key)[:, None]
    query, key = numerics.as_rows(query), numerics.as_rows(key)
    if cost == "cosine":  # 1 - q . k
        query, key = numerics.l2_normalize(query), numerics.l2_normalize(key)
        factor = 1.0
    else:  # |q|^2 + |k|^2 - 2 q . k
        query, key = _centered(query, key, row, column)
        factor = 2.0
    plan = transport_plan(
        factor * ops.stop_gradient(query),
        numerics.transpose(ops.stop_gradient(key)),
        row,
        column,
        epsilon,
        max_iterations,
        tolerance,
    )
    total = -factor * closed_form.mean_product(plan, query, key)
    if cost == "cosine":
        total += ops.sum(column, axis=-1)
    else:
        marginal = ops.stop_gradient(ops.sum(plan, axis=-1))
        total += ops.sum(marginal * ops.sum(ops.square(query), axis=-1), axis=-1)
        total += ops.sum(column * ops.sum(ops.square(key), axis=-1), axis=-1)
    total += ops.stop_gradient(ops.relu(-total))  # what rounding leaves below 0
    return _zero_if_empty(total, query_mask, key_mask)


def maximum_mean_discrepancy(
    query, key, query_mask=None, key_mask=None, bandwidth=1.0, unbiased=False
):
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
        unbiased: whether a token is left out of the pairs with itself. A cloud of one
            token has no other pair and keeps that one.

    Returns:
        float32 tensor `(B, N)`; in [0, 2] when biased, possibly below 0 when unbiased.
    """
    checks.clouds({"query": query}, {"key": key}, query_mask, key_mask)
    checks.positive("bandwidth", bandwidth)
    row = numerics.token_weights(query_mask, query)[:, None]
    column = numerics.token_weights(key_mask, key)[:, None]
    query, key = numerics.as_rows(query), numerics.as_rows(key)
    query, key = _centered(query, key, row, column)
    precision = 1.0 / bandwidth**2
    total = _mean_within(query, row, precision, unbiased)
    total += _mean_within(key, column, precision, unbiased)
    total -= 2.0 * closed_form.mean_kernel(query, key, row, column, precision)
    return _zero_if_empty(total, query_mask, key_mask)


def _mean_within(x, weight, precision, unbiased):
    """Mean of the kernel over the pairs of one cloud, `(B, N)`."""
    total = closed_form.mean_kernel_within(x, weight, precision)
    diagonal = ops.sum(ops.square(weight), axis=-1)  # 1 / count, (B, 1)
    if not unbiased:
        return total + diagonal
    alone = diagonal > 0.999
    return ops.where(alone, 1.0, total / ops.where(alone, 1.0, 1.0 - diagonal))


def _centered(query, key, row, column):
    """Moves the mid-point of both means to 0: distances of small numbers are exact.

    The mid-point is a constant, as no distance depends on it.
    """
    middle = numerics.vecmat(row, query) + numerics.vecmat(column, key)  # (B, N, H)
    middle = ops.stop_gradient(0.5 * middle)[:, :, None]
    return query - middle, key - middle


def _zero_if_empty(value, query_mask, key_mask):
    """Sets the value `(B, N)` of a sample without a real query or key to 0."""
    for mask in (query_mask, key_mask):
        if mask is not None:
            present = ops.any(ops.cast(mask, "bool"), axis=1)[:, None]
            value = ops.where(present, value, 0.0)
    return value
