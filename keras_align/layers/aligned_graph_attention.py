"""Graph attention whose keys and queries follow the same distribution."""

from typing import Any

import keras

from keras_align.adapters.graph_attention import GRAPH_ATTENTION_ADAPTER
from keras_align.alignments import Alignment
from keras_align.layers.adapted_attention import AdaptedAttention, aligned_call
from keras_align.layers.argument_types import Initializer, Regularizer
from keras_align.layers.graph_alignment import with_graph_defaults
from keras_align.layers.graph_attention import GraphAttention


@keras.saving.register_keras_serializable(package="keras_align")
class AlignedGraphAttention(AdaptedAttention, GraphAttention):
    """`GraphAttention` with alignment of keys and queries.

    All nodes of a call are one sample: the alignment compares the queries with the keys
    of at most `max_tokens` of them, others in every step. With `scoring="gat"` the
    query of node i is `a_q * W h_i` and its key `a_k * W h_i`, elementwise, so that a
    score is the LeakyReLU of the sum of both. The paper reports graph attention and
    does not say what queries and keys are there; this is our reading. (They are the
    same for equal attention vectors.) With `scoring="gatv2"` they are `W_q h_i` and
    `W_k h_i`.

    The defaults are others than those of fine-tuning: by name, `"gan"` is
    `AdversarialAlignment(learning_rate_multiplier=1.0)`, `"ct"` has the multipliers
    0.06 for its critic and 0.6 for its navigator, and `"mmd"` the bandwidth 0.1; all
    have the weight 0.1. They were chosen on the validation nodes of Cora. The same
    holds for `align_model`.

    Source: Zhang et al., "Alignment Attention by Matching Key and Query
    Distributions", NeurIPS 2021, section 4.2.

    Args:
        units: int, size of a head.
        num_heads: int. Defaults to `1`.
        alignment: `"ct"`, `"gan"`, `"ot"`, `"mmd"`, an `Alignment`, its serialised
            config, or `None` for the plain layer. Defaults to `"gan"`.
        alignment_weight: float >= 0 or scalar `keras.Variable`, factor of the
            divergence in the training loss. `None`, the default, is 0.1 for the four
            named alignments, and the `default_weight` of others.
        **kwargs: `name`, `dtype` and `trainable`. All other arguments are those of
            `GraphAttention`.

    Call arguments and returns: see `GraphAttention`.

    Raises:
        ValueError: for an `alignment` or `alignment_weight` that is none of these.

    Example:

    >>> layer = AlignedGraphAttention(units=8, num_heads=4)
    >>> edges = np.array([[0, 1], [1, 0], [1, 2]])
    >>> tuple(layer(keras.random.normal((3, 16)), edges, training=True).shape)
    (3, 32)
    >>> len(layer.losses)
    1
    """

    plain_class = GraphAttention
    adapter = GRAPH_ATTENTION_ADAPTER

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
        *,
        alignment: str | dict[str, Any] | Alignment | None = "gan",
        alignment_weight: float | keras.Variable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(units, num_heads, concat_heads, negative_slope, add_self_loops),
            *(dropout, attention_dropout, feature_dropout, scoring, edge_features),
            *(use_bias, activation),
            *(kernel_initializer, attention_initializer, bias_initializer),
            *(kernel_regularizer, attention_regularizer, bias_regularizer, seed),
            alignment=alignment,
            alignment_weight=alignment_weight,
            **kwargs,
        )

    def _with_defaults(self, alignment, alignment_weight):
        return with_graph_defaults(alignment, alignment_weight)

    call = aligned_call(GraphAttention.call)
