"""The paper's divergences between queries and keys, as pure functions of tensors.

Axes: B batch, T queries, S keys, N heads, H head size, D feature. Masks are boolean,
True for a real token. Every function computes in float32 and returns one number for
each sample and head, float32 `(B, N)`, which is 0 where a sample has no real query or
no real key.

Source: "Alignment Attention by Matching Key and Query Distributions", Zhang et al.,
NeurIPS 2021 (arXiv 2110.12567).
"""

from keras import ops

from keras_align import checks, numerics
from keras_align.sinkhorn import transport_plan

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
    query_logits, key_logits = numerics.to_float32(query_logits, key_logits)
    query_weight = numerics.token_weights(query_mask, query_logits[..., None])
    key_weight = numerics.token_weights(key_mask, key_logits[..., None])
    log_real = ops.einsum("bt,btn->bn", query_weight, -ops.softplus(-query_logits))
    log_fake = ops.einsum("bs,bsn->bn", key_weight, -ops.softplus(key_logits))
    return _zero_if_empty(log_real + log_fake, query_mask, key_mask)


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
    `u(k)`, the inner sum is `1 - u(q_i) . attention(t(q), t(k), u(k))_i`: no cost matrix
    is formed.

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
    query_critic = numerics.l2_normalize(numerics.to_float32(query_critic))
    key_critic = numerics.l2_normalize(numerics.to_float32(key_critic))
    logits = ops.einsum(
        "btnd,bsnd->bnts", *numerics.to_float32(query_navigator, key_navigator)
    )
    query_weight = numerics.token_weights(query_mask, query_critic)
    key_weight = numerics.token_weights(key_mask, key_critic)

    to_keys = numerics.masked_softmax(logits, _keys_axis(key_mask), axis=-1)
    arrived = ops.einsum("bnts,bsnd->btnd", to_keys, key_critic)
    forward = 1.0 - ops.sum(query_critic * arrived, axis=-1)  # (B, T, N)

    to_queries = numerics.masked_softmax(logits, _queries_axis(query_mask), axis=-2)
    arrived = ops.einsum("bnts,btnd->bsnd", to_queries, query_critic)
    backward = 1.0 - ops.sum(key_critic * arrived, axis=-1)  # (B, S, N)

    total = rho * ops.einsum("bt,btn->bn", query_weight, forward)
    total += (1.0 - rho) * ops.einsum("bs,bsn->bn", key_weight, backward)
    return _zero_if_empty(total, query_mask, key_mask)


def optimal_transport(
    query,
    key,
    query_mask=None,
    key_mask=None,
    cost="cosine",
    epsilon=0.01,
    max_iterations=200,
    tolerance=1e-3,
):
    """Transport cost of the entropic plan of AA-OT, `sum_ij c(q_i, k_j) pi_ij`.

    `pi = argmin sum(c * pi) - epsilon * entropy(pi)` over the plans with uniform
    marginals on the real tokens, found by log-domain Sinkhorn iterations and treated as
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
    checks.choice("cost", cost, COSTS)
    query, key = numerics.to_float32(query, key)
    if cost == "cosine":
        unit_query, unit_key = numerics.l2_normalize(query), numerics.l2_normalize(key)
        costs = 1.0 - ops.einsum("btnh,bsnh->bnts", unit_query, unit_key)
    else:
        costs = numerics.squared_distances(query, key)
    plan = transport_plan(
        ops.stop_gradient(costs),
        numerics.token_weights(query_mask, query),
        numerics.token_weights(key_mask, key),
        epsilon,
        max_iterations,
        tolerance,
    )
    total = ops.sum(costs * ops.stop_gradient(plan), axis=(-2, -1))
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
    checks.positive("bandwidth", bandwidth)
    query, key = numerics.to_float32(query, key)
    query_weight = numerics.token_weights(query_mask, query)
    key_weight = numerics.token_weights(key_mask, key)
    center = _pooled_mean(query, key, query_weight, key_weight)
    query, key = query - center, key - center
    within = _mean_within(query, query_weight, bandwidth, unbiased)
    within += _mean_within(key, key_weight, bandwidth, unbiased)
    kernel = _gaussian_kernel(query, key, bandwidth)
    across = ops.einsum("bt,bnts,bs->bn", query_weight, kernel, key_weight)
    return _zero_if_empty(within - 2.0 * across, query_mask, key_mask)


def _gaussian_kernel(x, y, bandwidth):
    return ops.exp(numerics.squared_distances(x, y) * (-0.5 / bandwidth**2))


def _mean_within(x, weight, bandwidth, unbiased):
    """Mean of the kernel over the pairs of one cloud, `(B, N)`."""
    kernel = _gaussian_kernel(x, x, bandwidth)
    off_diagonal = 1.0 - ops.eye(ops.shape(x)[1], dtype="float32")
    total = ops.einsum("bt,bnts,bs->bn", weight, kernel * off_diagonal, weight)
    diagonal = ops.sum(ops.square(weight), axis=1)[:, None]  # 1 / count
    if not unbiased:
        return total + diagonal
    alone = diagonal > 0.999
    return ops.where(alone, 1.0, total / ops.where(alone, 1.0, 1.0 - diagonal))


def _pooled_mean(query, key, query_weight, key_weight):
    """Mid-point of both means, `(B, 1, N, H)`: distances of small numbers are exact."""
    mean = ops.einsum("bt,btnh->bnh", query_weight, query)
    mean += ops.einsum("bs,bsnh->bnh", key_weight, key)
    return ops.stop_gradient(0.5 * mean)[:, None]


def _keys_axis(mask):
    return None if mask is None else ops.cast(mask, "bool")[:, None, None, :]


def _queries_axis(mask):
    return None if mask is None else ops.cast(mask, "bool")[:, None, :, None]


def _zero_if_empty(value, query_mask, key_mask):
    """Sets the value `(B, N)` of a sample without a real query or key to 0."""
    for mask in (query_mask, key_mask):
        if mask is not None:
            present = ops.any(ops.cast(mask, "bool"), axis=1)[:, None]
            value = ops.where(present, value, 0.0)
    return value
