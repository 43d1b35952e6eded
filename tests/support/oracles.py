"""The formulas once more, one sample and head at a time, in NumPy and float64.

Written from the paper's equations: no batching and no masks, as only the real tokens of
a sample are passed on. Optimal transport is POT's.
"""

import os

# POT would import every array library that it can find.
for _library in ("PYTORCH", "JAX", "TENSORFLOW", "CUPY"):
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_library}", "1")

import numpy as np  # noqa: E402
import ot  # noqa: E402


def for_each_sample_and_head(formula):
    """Lifts `formula(query, key)` of `(T, ...)`, `(S, ...)` arrays to `(B, N)`.

    The lifted function takes arrays `(B, T, N, ...)` and `(B, S, N, ...)`, or tuples of
    them, and masks; a sample without a real query or key counts 0.
    """

    def lifted(queries, keys, query_mask=None, key_mask=None, **options):
        queries, keys = _as_tuple(queries), _as_tuple(keys)
        batch, _, heads = queries[0].shape[:3]
        result = np.zeros((batch, heads))
        for b in range(batch):
            real_q = slice(None) if query_mask is None else np.asarray(query_mask)[b]
            real_k = slice(None) if key_mask is None else np.asarray(key_mask)[b]
            for n in range(heads):
                q = [np.asarray(x, "float64")[b, real_q, n] for x in queries]
                k = [np.asarray(x, "float64")[b, real_k, n] for x in keys]
                if len(q[0]) and len(k[0]):
                    result[b, n] = formula(*q, *k, **options)
        return result

    return lifted


def _as_tuple(arrays):
    return arrays if isinstance(arrays, tuple) else (arrays,)


@for_each_sample_and_head
def adversarial(query_logits, key_logits):
    """`E_q[log D(q)] + E_k[log(1 - D(k))]`, `D = sigmoid(logit)`."""
    log_d = -np.logaddexp(0.0, -query_logits)
    log_one_minus_d = -np.logaddexp(0.0, key_logits)
    return log_d.mean() + log_one_minus_d.mean()


@for_each_sample_and_head
def confusion(query_logits, key_logits):
    """Cross-entropy of `D = sigmoid(logit)` with an even guess, of queries and keys."""
    total = 0.0
    for logits in (query_logits, key_logits):
        d = 1.0 / (1.0 + np.exp(-logits))
        total -= np.mean(0.5 * np.log(d) + 0.5 * np.log(1.0 - d))
    return total


def _unit(x):
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0.0)


def _softmax(x, axis):
    weights = np.exp(x - x.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)


@for_each_sample_and_head
def conditional_transport(u_query, t_query, u_key, t_key, rho=0.5):
    """`rho E_q E_pi(k|q) c + (1 - rho) E_k E_pi(q|k) c` with the full cost matrix."""
    cost = 1.0 - _unit(u_query) @ _unit(u_key).T
    logits = t_query @ t_key.T
    forward = (_softmax(logits, 1) * cost).sum(1).mean()
    backward = (_softmax(logits, 0) * cost).sum(0).mean()
    return rho * forward + (1.0 - rho) * backward


def _squared_distances(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(-1)


@for_each_sample_and_head
def maximum_mean_discrepancy(query, key, bandwidth=1.0, unbiased=False):
    """Gretton et al. 2012, eq. 5 (biased) and eq. 3 (unbiased)."""

    def kernel(x, y):
        return np.exp(-_squared_distances(x, y) / (2.0 * bandwidth**2))

    def within(x):
        pairs, count = kernel(x, x), len(x)
        if not unbiased or count == 1:
            return pairs.mean()
        return (pairs.sum() - np.trace(pairs)) / (count * (count - 1))

    return within(query) + within(key) - 2.0 * kernel(query, key).mean()


def transport_costs(query, key, cost):
    """Costs `(T, S)` of moving each query to each key."""
    if cost == "cosine":
        return 1.0 - _unit(query) @ _unit(key).T
    return _squared_distances(query, key)


def transport_plan(costs, epsilon):
    """POT's entropic plan between uniform distributions, converged far below 1e-4.

    With `epsilon=None` it is the plan without entropy, of the least cost.
    """
    rows, columns = (np.full(size, 1.0 / size) for size in costs.shape)
    if epsilon is None:
        return ot.emd(rows, columns, costs)
    options = {"method": "sinkhorn_log", "stopThr": 1e-8, "numItermax": 10_000}
    return ot.sinkhorn(rows, columns, costs, epsilon, warn=False, **options)


@for_each_sample_and_head
def optimal_transport(query, key, cost="cosine", epsilon=0.01):
    """`sum_ij c_ij pi_ij` with POT's plan."""
    costs = transport_costs(query, key, cost)
    return (costs * transport_plan(costs, epsilon)).sum()


@for_each_sample_and_head
def entropic_objective(query, key, cost="cosine", epsilon=0.01):
    """What the plan minimises; by the envelope theorem its gradient is the plan's."""
    costs = transport_costs(query, key, cost)
    plan = transport_plan(costs, epsilon)
    entropy = -(plan * np.log(np.maximum(plan, 1e-300))).sum()
    return (costs * plan).sum() - epsilon * entropy


def pooled_mmd(query, key, bandwidth):
    """Unbiased MMD, mean of the heads, of `(B, T, N, H)` with all samples pooled."""
    query, key = (x.reshape(1, -1, *x.shape[2:]) for x in (query, key))
    mmd = maximum_mean_discrepancy(query, key, bandwidth=bandwidth, unbiased=True)
    return float(mmd.mean())


def finite_differences(function, x, step=1e-5):
    """Central differences of a scalar function at an array, in float64."""
    x = np.array(x, "float64")
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        forward, backward = x.copy(), x.copy()
        forward[index] += step
        backward[index] -= step
        gradient[index] = (function(forward) - function(backward)) / (2.0 * step)
    return gradient


def highway(x, weights):
    """`g * relu(W_h x + b_h) + (1 - g) * x`, weights in the order gate, transform."""
    w_g, b_g, w_h, b_h = (np.asarray(weight, "float64") for weight in weights)
    gate = 1.0 / (1.0 + np.exp(-(x @ w_g + b_g)))
    return gate * np.maximum(x @ w_h + b_h, 0.0) + (1.0 - gate) * x


def perceptron(x, weights, slope=0.1):
    """`linear(leaky_relu(linear(x)))`."""
    w_1, b_1, w_2, b_2 = (np.asarray(weight, "float64") for weight in weights)
    hidden = x @ w_1 + b_1
    return np.where(hidden > 0.0, hidden, slope * hidden) @ w_2 + b_2
