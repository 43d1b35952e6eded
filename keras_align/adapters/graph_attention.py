"""Graph attention of this package: the nodes are the tokens of one sample."""

import contextlib
from typing import Any

import keras
from keras import ops

from keras_align.adapters import captured
from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.attention_dropout import AttentionDropout
from keras_align.adapters.capturing import captured_arguments
from keras_align.adapters.symmetries import Symmetry
from keras_align.divergences.numerics import Tensor

_METHOD = "_attend"


class GraphAttentionAdapter(AttentionAdapter):
    """For `GraphAttention`: queries `(1, n, N, H)` and keys `(1, n, N, H)`."""

    def num_heads(self, layer: keras.layers.Layer) -> int:
        return layer.num_heads

    def num_key_heads(self, layer: keras.layers.Layer) -> int:
        return layer.num_heads

    def head_size(self, layer: keras.layers.Layer) -> int:
        return layer.units

    def check(self, layer: keras.layers.Layer) -> None:
        """Finds all that it needs in every layer."""

    def is_self_attention(
        self, layer: keras.layers.Layer, arguments: dict[str, Any]
    ) -> bool:
        return True

    def capture(
        self, layer: keras.layers.Layer
    ) -> contextlib.AbstractContextManager[list[tuple[Tensor, Tensor]]]:
        return captured.converted(captured_arguments(layer, _METHOD), lambda x: x[None])

    def attention_dropouts(self, layer: keras.layers.Layer) -> list[AttentionDropout]:
        if not layer.attention_dropout:
            return []
        return [AttentionDropout(layer, "_drop_attention", layer.seed_generator)]

    def token_masks(
        self,
        layer: keras.layers.Layer,
        arguments: dict[str, Any],
        self_attention: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        mask = arguments.get("node_mask")
        if mask is None:
            return None, None
        mask = ops.cast(mask, "bool")[None]
        return mask, mask


GRAPH_ATTENTION_ADAPTER = GraphAttentionAdapter(
    symmetry=Symmetry("none", "scores are sums of queries and keys, not products")
)
