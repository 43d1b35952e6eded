"""A small graph with a double edge, a self-loop and a node without edges."""

import numpy as np

EDGES = np.array([[0, 1], [1, 0], [1, 2], [2, 2], [3, 1], [3, 1], [4, 0]])


def features(count=6, size=5, seed=0):
    """Features `(count, size)`, of nodes or edges."""
    return np.random.default_rng(seed).normal(size=(count, size)).astype("float32")
