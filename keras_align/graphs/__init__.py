"""Graphs as lists of edges, and sums and softmaxes over the edges of each node."""

from keras_align.graphs.dropping import dropout
from keras_align.graphs.edges import Edges, number_of_edges, read_edges
from keras_align.graphs.segments import segment_softmax, segment_sum, wide_dtype
from keras_align.graphs.sparse_features import (
    SparseFeatures,
    is_sparse,
    masked_rows,
    read_features,
    with_sparse_tensors,
)

__all__ = [
    "Edges",
    "SparseFeatures",
    "dropout",
    "is_sparse",
    "masked_rows",
    "number_of_edges",
    "read_edges",
    "read_features",
    "segment_softmax",
    "segment_sum",
    "wide_dtype",
    "with_sparse_tensors",
]
