"""How graph attention makes queries, keys and the scores of edges."""

from typing import Any

from keras import ops

from keras_align.divergences.numerics import Tensor
from keras_align.graphs import Edges


class StaticScores:
    """Scores of GAT, `e_ij = LeakyReLU(a_q . W h_i + a_k . W h_j)` (eq. 3).

    Node i attends to node j. The scores of all i order the j in the same way, which is
    why they are called static. Queries are `a_q * W h_i` and keys `a_k * W h_j`,
    elementwise: the score is the LeakyReLU of their sum over features.
    Source: Velickovic et al., "Graph Attention Networks", ICLR 2018.
    """

    def build(self, layer: Any, size: int, edge_size: int | None) -> None:
        layer.kernel = layer.add_kernel("kernel", size)
        layer.query_attention = layer.add_attention("query_attention")
        layer.key_attention = layer.add_attention("key_attention")
        if edge_size is not None:
            layer.edge_kernel = layer.add_kernel("edge_kernel", edge_size)
            layer.edge_attention = layer.add_attention("edge_attention")

    def project(self, layer: Any, features: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values `(n, N, H)` of features `(n, F)`."""
        value = layer.project(features, layer.kernel)
        wide = layer.widen(value)  # a product may be beyond float16
        query = wide * layer.widen(layer.query_attention)
        return query, wide * layer.widen(layer.key_attention), value

    def scores(
        self,
        layer: Any,
        query: Tensor,
        key: Tensor,
        edges: Edges,
        edge_features: Tensor | None,
    ) -> Tensor:
        """Scores `(m, N)` of the edges, in float32 or wider."""
        of_query, of_key = ops.sum(query, axis=-1), ops.sum(key, axis=-1)  # (n, N)
        scores = ops.take(of_query, edges.target, axis=0)
        scores += ops.take(of_key, edges.source, axis=0)
        if edge_features is not None:
            projected = layer.widen(layer.project(edge_features, layer.edge_kernel))
            scores += ops.sum(projected * layer.widen(layer.edge_attention), axis=-1)
        return ops.leaky_relu(scores, layer.negative_slope)


class DynamicScores:
    """Scores of GATv2, `e_ij = a . LeakyReLU(W_q h_i + W_k h_j)` (eq. 7).

    Node i attends to node j, and which j it prefers depends on i. Queries are
    `W_q h_i`; keys, `W_k h_j`, are the values, too.
    Source: Brody et al., "How Attentive are Graph Attention Networks?", ICLR 2022.
    """

    def build(self, layer: Any, size: int, edge_size: int | None) -> None:
        layer.query_kernel = layer.add_kernel("query_kernel", size)
        layer.key_kernel = layer.add_kernel("key_kernel", size)
        layer.query_bias = layer.key_bias = None
        if layer.use_bias:
            width = layer.num_heads * layer.units
            layer.query_bias = layer.add_bias("query_bias", width)
            layer.key_bias = layer.add_bias("key_bias", width)
        layer.attention = layer.add_attention("attention")
        if edge_size is not None:
            layer.edge_kernel = layer.add_kernel("edge_kernel", edge_size)

    def project(self, layer: Any, features: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values `(n, N, H)` of features `(n, F)`."""
        query = layer.project(features, layer.query_kernel, layer.query_bias)
        key = layer.project(features, layer.key_kernel, layer.key_bias)
        return query, key, key

    def scores(
        self,
        layer: Any,
        query: Tensor,
        key: Tensor,
        edges: Edges,
        edge_features: Tensor | None,
    ) -> Tensor:
        """Scores `(m, N)` of the edges, in float32 or wider."""
        both = ops.take(query, edges.target, axis=0)  # (m, N, H)
        both += ops.take(key, edges.source, axis=0)
        if edge_features is not None:
            both += layer.project(edge_features, layer.edge_kernel)
        both = layer.widen(ops.leaky_relu(both, layer.negative_slope))
        return ops.sum(both * layer.widen(layer.attention), axis=-1)


SCORES: dict[str, Any] = {"gat": StaticScores(), "gatv2": DynamicScores()}
