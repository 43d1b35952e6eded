"""Graphs as lists of edges, and sums and softmaxes over the edges of each node."""

from keras_align.graphs.dropping import dropout
from keras_align.graphs.edges import Edges, number_of_edges, read_edges
from keras_align.graphs.segments import segment_softmax, segment_sum

__all__ = [
    "Edges",
    "dropout",
    "number_of_edges",
    "read_edges",
    "segment_softmax",
    "segment_sum",
]
