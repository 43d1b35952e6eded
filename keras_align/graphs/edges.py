"""The edges of a graph, as a layer is called with them."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.divergences.numerics import Tensor
from keras_align.graphs.segments import segment_sum, wide_dtype


@dataclass(frozen=True)
class Edges:
    """Edges from source nodes to target nodes, self-loops at the end if they are added.

    Attributes:
        source: integer tensor `(m,)`.
        target: integer tensor `(m,)`.
        mask: boolean tensor `(m,)`, True for edges that count.
        num_nodes: int or scalar tensor, `n`.
        num_given: int, edges before self-loops were added, `None` if not known.
        self_loops_added: bool.
    """

    source: Tensor
    target: Tensor
    mask: Tensor
    num_nodes: Any
    num_given: int | None
    self_loops_added: bool = False

    def with_self_loops(self, node_mask: Tensor | None) -> "Edges":
        """These edges with one self-loop a node, in the place of those that are there.

        Args:
            node_mask: boolean tensor `(n,)`, or `None`. Other nodes get a self-loop
                that does not count.
        """
        nodes = ops.cast(ops.arange(self.num_nodes), self.source.dtype)
        if node_mask is None:
            node_mask = ops.ones_like(nodes, dtype="bool")
        kept = ops.logical_and(self.mask, self.source != self.target)
        return Edges(
            source=ops.concatenate([self.source, nodes]),
            target=ops.concatenate([self.target, nodes]),
            mask=ops.concatenate([kept, node_mask]),
            num_nodes=self.num_nodes,
            num_given=self.num_given,
            self_loops_added=True,
        )

    def all_features(self, features: Tensor) -> Tensor:
        """Features of all edges; a self-loop that was added has the node's mean.

        Args:
            features: float tensor `(e, D)` of the edges that were given; those that do
                not count may have any values, and have 0 afterwards.

        Returns:
            Tensor `(m, D)`. The mean is that over the edges that end at the node, as in
            PyTorch Geometric, and 0 without any.
        """
        _check_length("edge_features", features, self.num_given, "edges", axes=2)
        given = ops.shape(features)[0]
        target, real = self.target[:given], self.mask[:given, None]
        features = ops.where(real, features, 0.0)
        if not self.self_loops_added:
            return features
        weight = ops.cast(real, wide_dtype(features.dtype))
        total = segment_sum(features * weight, target, self.num_nodes)
        count = segment_sum(weight, target, self.num_nodes)
        mean = ops.cast(total / ops.maximum(count, 1.0), features.dtype)
        return ops.concatenate([features, mean])


def read_edges(
    num_nodes: Any,
    edges: Tensor | None,
    edge_index: Tensor | None,
    edge_mask: Tensor | None,
    node_mask: Tensor | None,
) -> Edges:
    """Reads the arguments of a call.

    Args:
        num_nodes: int or scalar tensor, `n`.
        edges: integer tensor `(m, 2)` of source and target, or `None`.
        edge_index: integer tensor `(2, m)`, instead of `edges`, or `None`.
        edge_mask: boolean tensor `(m,)` or `None`.
        node_mask: boolean tensor `(n,)` or `None`. An edge from or to another node does
            not count.

    Returns:
        `Edges`; those that do not count may have any indices, and lead to node 0.

    Raises:
        ValueError: if the arguments do not fit, or an index is out of range (where the
            values are known, that is, in an eager call).
    """
    source, target = _ends(edges, edge_index)
    mask = ops.ones_like(source, dtype="bool")
    if edge_mask is not None:
        edge_mask = ops.cast(edge_mask, "bool")
        _check_length("edge_mask", edge_mask, source.shape[0], "edges")
        mask = edge_mask
    _check_range(source, target, mask, num_nodes)
    source, target = ops.where(mask, source, 0), ops.where(mask, target, 0)
    if node_mask is not None:
        _check_length("node_mask", node_mask, num_nodes, "nodes")
        for ends in (source, target):
            mask = ops.logical_and(mask, ops.take(node_mask, ends))
    return Edges(source, target, mask, num_nodes, source.shape[0])


def number_of_edges(edges: Tensor | None, edge_index: Tensor | None) -> int | None:
    """How many edges a layer is called with, `None` if that is not known.

    Raises:
        ValueError: as `read_edges`, for shapes and dtypes.
    """
    name, x = _the_given(edges, edge_index)
    _check_ends(name, x)
    return x.shape[0 if name == "edges" else 1]


def _the_given(edges, edge_index):
    """Name and value of the one of the two arguments that was given."""
    given = {"edges": edges, "edge_index": edge_index}
    named = [(name, x) for name, x in given.items() if x is not None]
    if len(named) != 1:
        raise ValueError(
            "Expected one of the arguments `edges` (m, 2) and `edge_index` (2, m). "
            f"Received: {[name for name, _ in named] or 'neither'}"
        )
    return named[0]


def _ends(edges, edge_index):
    """Source and target of every edge."""
    name, x = _the_given(edges, edge_index)
    x = ops.convert_to_tensor(x)
    _check_ends(name, x)
    if keras.backend.standardize_dtype(x.dtype) != "int64":
        x = ops.cast(x, "int32")  # others may not count to n
    return (x[:, 0], x[:, 1]) if name == "edges" else (x[0], x[1])


def _check_ends(name, x):
    """Raises unless a tensor, maybe a symbolic one, can hold the ends of edges."""
    axis, expected = (1, "(m, 2)") if name == "edges" else (0, "(2, m)")
    dtype = keras.backend.standardize_dtype(x.dtype)
    if len(x.shape) != 2 or x.shape[axis] != 2 or not keras.backend.is_int_dtype(dtype):
        raise ValueError(
            f"Argument `{name}` must be an integer tensor {expected}, the indices of "
            f"the source and the target of every edge. Received: {name} of shape "
            f"{tuple(x.shape)} and dtype {dtype}"
        )


def _check_length(name, x, length, what, axes=1):
    """Raises unless a tensor has one row for each edge or node, as far as is known."""
    differs = None not in (x.shape[0], length) and x.shape[0] != length
    if len(x.shape) != axes or (isinstance(length, int) and differs):
        raise ValueError(
            f"Argument `{name}` must have one value for each of the {length} {what}. "
            f"Received: {name} of shape {tuple(x.shape)}"
        )


def _check_range(source, target, mask, num_nodes):
    """Raises for an index without a node, where the values are known."""
    known = all(keras_internals.has_values(each) for each in (source, target, mask))
    if not known or not isinstance(num_nodes, int):
        return
    ends = ops.stack([source, target])
    wrong = ops.logical_and(mask, ops.logical_or(ends < 0, ends >= num_nodes))
    wrong = ops.convert_to_numpy(wrong)
    if wrong.any():
        first = int(wrong.any(axis=0).argmax())
        pair = ops.convert_to_numpy(ends)[:, first].tolist()
        raise ValueError(
            f"Edges must have indices of the {num_nodes} nodes, 0 to {num_nodes - 1}. "
            f"Received: {int(wrong.any(axis=0).sum())} edges with others, the first is "
            f"number {first}, from {pair[0]} to {pair[1]}"
        )
