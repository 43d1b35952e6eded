"""Graph attention, GAT and GATv2."""

from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor
from keras_align.graphs import (
    masked_rows,
    number_of_edges,
    read_edges,
    read_features,
    segment_softmax,
    segment_sum,
)
from keras_align.layers.argument_types import Initializer, Regularizer
from keras_align.layers.graph_attention_settings import GraphAttentionSettings
from keras_align.layers.graph_scores import SCORES
from keras_align.validation import checks


@keras.saving.register_keras_serializable(package="keras_align")
class GraphAttention(GraphAttentionSettings):
    """Graph attention: every node attends to the nodes that have an edge to it.

    `h'_i = act(sum_j alpha_ij W h_j + b)` for each head, where `alpha_ij` is the
    softmax of the scores `e_ij` over the nodes j with an edge to i. For `e_ij` see
    `scoring`. Time and memory are linear in the number of edges.

    Source: Velickovic et al., "Graph Attention Networks", ICLR 2018, equations 1 to 6;
    Brody et al., "How Attentive are Graph Attention Networks?", ICLR 2022.

    Args:
        units: int, size of a head, `H`.
        num_heads: int, `N`. Defaults to `1`.
        concat_heads: bool, whether the heads are concatenated, (eq. 5), or averaged
            (eq. 6). Defaults to `True`.
        negative_slope: float >= 0 of the LeakyReLU. Defaults to `0.2`.
        add_self_loops: bool, whether every node attends to itself, too. Self-loops
            among the edges are then left out, so that none counts twice. Defaults to
            `True`.
        dropout: float in [0, 1), of the input features, the same for all heads; not of
            the attention weights, as in `MultiHeadAttention`. Defaults to `0.0`.
        attention_dropout: float in [0, 1), of the normalised attention weights.
            Defaults to `0.0`.
        feature_dropout: float in [0, 1), of the projected features that are summed, as
            in the authors' code; scores see all of them. Defaults to `0.0`.
        scoring: `"gat"`, `LeakyReLU(a_q . W h_i + a_k . W h_j)`, or `"gatv2"`,
            `a . LeakyReLU(W_q h_i + W_k h_j)` with the values `W_k h_j`. Defaults to
            `"gat"`.
        edge_features: bool, whether calls have features of edges, which add
            `a_e . W_e f_ij` (`"gatv2"`: `W_e f_ij`) to the argument of the LeakyReLU.
            Defaults to `False`.
        use_bias: bool. With `"gatv2"`, queries and keys have a bias, too. Defaults to
            `True`.
        activation: as in `keras.layers.Dense`. Defaults to `None`.
        kernel_initializer: of the projections. Defaults to `"glorot_uniform"`.
        attention_initializer: of the attention vectors. Defaults to `"glorot_uniform"`.
        bias_initializer: defaults to `"zeros"`.
        kernel_regularizer: defaults to `None`.
        attention_regularizer: defaults to `None`.
        bias_regularizer: defaults to `None`.
        seed: int or `None`, of dropout.
        **kwargs: arguments of `keras.layers.Layer`, as `name` and `dtype`.

    Call arguments:
        features: float tensor `(n, F)`, of the nodes. Several graphs are one disjoint
            union. Also a `tf.SparseTensor` or a `BCOO` of JAX, in time and memory
            linear in the values that it holds.
        edges: integer tensor `(m, 2)`, of each edge the node that it comes from and the
            node that attends to it. Double edges count twice.
        edge_index: integer tensor `(2, m)` instead of `edges`, as other libraries have.
        edge_features: tensor `(m, D)` of numbers, if the layer has `edge_features`. An
            added self-loop has the mean over the edges that end at its node.
        edge_mask: boolean tensor `(m,)`, False for padding, whose indices may be any.
        node_mask: boolean tensor `(n,)`, False for padding: no edge to or from such a
            node counts, its features may be any, and its output is 0.
        return_attention_scores: bool. Defaults to `False`.
        training: bool, whether to drop.

    Returns:
        `(n, N * H)`, or `(n, H)` without `concat_heads`. A node without edges and
        self-loop has the activation of the bias. With `return_attention_scores` also
        `alpha`, `(m, N)`, or `(m + n, N)` with the self-loops that were added at the
        end; in float32 or wider. Edges that do not count, and self-loops among the
        edges where others were added, have 0.

    Raises:
        ValueError: if an argument is wrong. An index out of range raises in eager calls
            alone; compiled code does with it what the backend does.

    Example:

    >>> layer = GraphAttention(units=8, num_heads=4)
    >>> features = keras.random.normal((3, 16))
    >>> edges = np.array([[0, 1], [1, 0], [1, 2]])  # node 2 attends to node 1
    >>> tuple(layer(features, edges).shape)
    (3, 32)
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 1,
        concat_heads: bool = True,
        negative_slope: float = 0.2,
        add_self_loops: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        feature_dropout: float = 0.0,
        scoring: str = "gat",
        edge_features: bool = False,
        use_bias: bool = True,
        activation: Any = None,
        kernel_initializer: Initializer = "glorot_uniform",
        attention_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        attention_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        checks.not_negative("negative_slope", negative_slope)
        checks.choice("scoring", scoring, tuple(SCORES))
        super().__init__(**kwargs)
        self._set_heads(units, num_heads, concat_heads, use_bias, activation)
        self._set_rates((dropout, attention_dropout, feature_dropout), seed)
        self._set_initializers(
            kernel_initializer, attention_initializer, bias_initializer
        )
        self._set_regularizers(
            kernel_regularizer, attention_regularizer, bias_regularizer
        )
        self.scoring, self.negative_slope = scoring, negative_slope
        self.add_self_loops, self.edge_features = add_self_loops, edge_features

    def build(
        self, features_shape: tuple, edge_features_shape: tuple | None = None
    ) -> None:
        self._check_edge_features(edge_features_shape)
        self._check_size("features", features_shape)
        self.num_features = features_shape[-1]
        if edge_features_shape is not None:
            self._check_size("edge_features", edge_features_shape)
            self.num_edge_features = edge_features_shape[-1]
        sizes = self.num_features, self.num_edge_features
        SCORES[self.scoring].build(self, *sizes)
        if self.use_bias:
            self.bias = self.add_bias("bias", self.width)

    def call(
        self,
        features: Tensor,
        edges: Tensor | None = None,
        edge_index: Tensor | None = None,
        edge_features: Tensor | None = None,
        edge_mask: Tensor | None = None,
        node_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_shapes(features, edge_features)
        if node_mask is not None:
            node_mask = ops.cast(node_mask, "bool")
        number = ops.shape(features)[0]
        features = read_features(features, self.compute_dtype)
        given = read_edges(number, edges, edge_index, edge_mask, node_mask)
        if node_mask is not None:
            features = masked_rows(features, node_mask)
        if self.add_self_loops:
            given = given.with_self_loops(node_mask)
        if edge_features is not None:
            edge_features = ops.cast(edge_features, self.compute_dtype)
            edge_features = given.all_features(edge_features)
        features = self._drop(features, self.dropout, training)
        query, key, value = SCORES[self.scoring].project(self, features)
        outputs, weights = self._attend(
            query, key, value, given, edge_features, training
        )
        outputs = self._join_heads(outputs)
        if node_mask is not None:
            outputs = ops.where(node_mask[:, None], outputs, 0.0)
        return (outputs, weights) if return_attention_scores else outputs

    def _attend(self, query, key, value, edges, edge_features, training):
        """Sums `(n, N, H)` of the values, and the weights `(m, N)` of the edges."""
        scoring = SCORES[self.scoring]
        scores = scoring.scores(self, query, key, edges, edge_features)
        weights = segment_softmax(scores, edges.target, edges.num_nodes, edges.mask)
        kept = self._drop_attention(weights, training=training)
        value = self._drop(value, self.feature_dropout, training)
        messages = self.widen(ops.take(value, edges.source, axis=0))
        messages *= kept[:, :, None]  # (m, N, H)
        return segment_sum(messages, edges.target, edges.num_nodes), weights

    def _drop_attention(self, weights, training):
        return self._drop(weights, self.attention_dropout, training)

    def _join_heads(self, outputs):
        outputs = ops.cast(outputs, self.compute_dtype)
        if self.concat_heads:
            outputs = ops.reshape(outputs, (-1, self.num_heads * self.units))
        else:
            outputs = ops.mean(outputs, axis=1)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def compute_output_spec(
        self,
        features: Tensor,
        edges: Tensor | None = None,
        edge_index: Tensor | None = None,
        edge_features: Tensor | None = None,
        edge_mask: Tensor | None = None,
        node_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_shapes(features, edge_features)
        number, count = features.shape[0], number_of_edges(edges, edge_index)
        outputs = keras.KerasTensor((number, self.width), dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        if self.add_self_loops:
            count = None if None in (count, number) else count + number
        shape = (count, self.num_heads)
        return outputs, keras.KerasTensor(shape, dtype=self.wide_dtype)

    def _check_shapes(self, features, edge_features):
        self._check_edge_features(edge_features)
        self._check_size("features", features.shape, self.num_features)
        if edge_features is not None:
            shape, size = edge_features.shape, self.num_edge_features
            self._check_size("edge_features", shape, size)

    def _check_edge_features(self, given):
        if (given is not None) != bool(self.edge_features):
            raise ValueError(
                "A layer is called with `edge_features`, an array or tensor, if it was "
                "made with `edge_features=True`, and only then. Received: a layer with "
                f"edge_features={self.edge_features}, called "
                f"{'without' if given is None else 'with'} them"
            )

    def get_config(self) -> dict[str, Any]:
        names = ("negative_slope", "add_self_loops", "scoring", "edge_features")
        return super().get_config() | {name: getattr(self, name) for name in names}
