"""The operations of a graph of TensorFlow."""

import collections


def operations(function):
    """How many operations of each type a concrete function has, at any depth."""
    graph = function.graph.as_graph_def()
    bodies = [graph.node, *(body.node_def for body in graph.library.function)]
    return collections.Counter(node.op for body in bodies for node in body)
