"""Graph attention in float64 NumPy, one node and one head at a time."""

import numpy as np


def leaky(x, slope):
    return np.where(x > 0, x, slope * x)


def edge_list(edges, count, self_loops, edge_mask=None, node_mask=None):
    """Triples of source, target and number (`m + i` for added loop i) that count."""
    listed = []
    for number, (source, target) in enumerate(edges):
        if edge_mask is not None and not edge_mask[number]:
            continue
        if node_mask is not None and not (node_mask[source] and node_mask[target]):
            continue
        if not (self_loops and source == target):
            listed.append((source, target, number))
    if self_loops:
        nodes = [i for i in range(count) if node_mask is None or node_mask[i]]
        listed += [(i, i, len(edges) + i) for i in nodes]
    return listed


def features_of_loops(edge_features, listed, count, given):
    """The features of all edges: a loop has the mean of those that end at its node."""
    means = np.zeros((count, edge_features.shape[1]))
    for node in range(count):
        own = [k for _, target, k in listed if target == node and k < given]
        if own:
            means[node] = edge_features[own].mean(axis=0)
    return np.concatenate([edge_features.astype("float64"), means])


def graph_attention(
    weights, features, edges, scoring="gat", slope=0.2, concat=True, self_loops=True,
    edge_features=None, edge_mask=None, node_mask=None,
):  # fmt: skip
    """Outputs, and the attention of every edge.

    Args:
        weights: dict from the names of the layer's weights to arrays.
    """
    w = {name: np.asarray(value, "float64") for name, value in weights.items()}
    x, count = np.asarray(features, "float64"), len(features)
    heads, units = w["attention" if scoring == "gatv2" else "key_attention"].shape
    listed = edge_list(edges, count, self_loops, edge_mask, node_mask)
    total = len(edges) + (count if self_loops else 0)
    extra = np.zeros((total, heads, units))
    if edge_features is not None:
        full = features_of_loops(edge_features, listed, count, len(edges))
        extra = (full @ w["edge_kernel"]).reshape(-1, heads, units)[:total]
    if scoring == "gat":
        value = (x @ w["kernel"]).reshape(count, heads, units)
    else:
        value = (x @ w["key_kernel"] + w.get("key_bias", 0)).reshape(-1, heads, units)
        query = (x @ w["query_kernel"] + w.get("query_bias", 0)).reshape(value.shape)

    def score(source, target, number, n):
        if scoring == "gatv2":
            both = query[target, n] + value[source, n] + extra[number, n]
            return w["attention"][n] @ leaky(both, slope)
        raw = w["query_attention"][n] @ value[target, n]
        raw += w["key_attention"][n] @ value[source, n]
        if edge_features is not None:
            raw += w["edge_attention"][n] @ extra[number, n]
        return leaky(raw, slope)

    outputs, alpha = np.zeros(value.shape), np.zeros((total, heads))
    for node in range(count):
        own = [edge for edge in listed if edge[1] == node]
        for n in range(heads if own else 0):
            scores = np.array([score(*edge, n) for edge in own])
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            for (source, _, number), share in zip(own, shares, strict=True):
                outputs[node, n] += share * value[source, n]
                alpha[number, n] += share
    outputs = outputs.reshape(count, -1) if concat else outputs.mean(axis=1)
    outputs = outputs + w.get("bias", 0)
    if node_mask is not None:
        outputs = outputs * np.asarray(node_mask)[:, None]
    return outputs, alpha
