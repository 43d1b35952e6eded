"""Adapters for attention classes that do otherwise than most."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.captured import split_heads
from keras_align.adapters.capturing import calling_method, watched
from keras_align.adapters.projection_weights import ProjectionWeights
from keras_align.divergences.numerics import Tensor


class FusedProjectionAdapter(AttentionAdapter):
    """For one projection that yields queries, keys and values after one another.

    Its last axis is `(3, N, H)`, unless the class has a `_compute_attention`.

    Args:
        qkv: string, attribute that holds the projection. Defaults to `"qkv"`.
        by_head: bool, whether its last axes are `(N, 3 * H)`. Defaults to `False`.
        **kwargs: the other arguments of `AttentionAdapter`.
    """

    def __init__(self, qkv: str = "qkv", by_head: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._qkv, self._by_head = qkv, by_head

    def projections(self, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        return [getattr(layer, self._qkv)]

    @contextlib.contextmanager
    def captured_projections(
        self, layer: keras.layers.Layer
    ) -> Iterator[list[tuple[Tensor, Tensor]]]:
        pairs = []
        heads, size = self.num_heads(layer), self.head_size(layer)

        def note(args, kwargs, result):
            fused = split_heads(result, layer, 3 * heads, size)
            pairs.append((fused[:, :, :heads], fused[:, :, heads : 2 * heads]))

        (qkv,) = self.projections(layer)
        with watched(qkv, calling_method(qkv), note):
            yield pairs

    def head_weights(
        self, layer: keras.layers.Layer
    ) -> tuple[ProjectionWeights, ProjectionWeights]:
        (qkv,), heads = self.projections(layer), self.num_heads(layer)
        features = np.arange(3 * heads * self.head_size(layer))
        shape = (heads, 3, -1) if self._by_head else (3, heads, -1)
        query, key, _ = np.moveaxis(features.reshape(shape), int(self._by_head), 0)
        return ProjectionWeights(qkv, query), ProjectionWeights(qkv, key)

    def head_size_of_weights(self, layer: keras.layers.Layer) -> int:
        (qkv,) = self.projections(layer)
        return qkv.kernel.shape[-1] // (3 * self.num_heads(layer))


class ResultAdapter(AttentionAdapter):
    """For a class in which a method returns queries and keys `(B, T, N, H)`.

    As a rotary embedding does.

    Args:
        method: string, name of the method, or of a layer that is called, separated from
            `call` by a dot.
        **kwargs: the other arguments of `AttentionAdapter`.
    """

    def __init__(self, method: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        *self._owner, self._method = method.split(".")

    @contextlib.contextmanager
    def capture(
        self, layer: keras.layers.Layer
    ) -> Iterator[list[tuple[Tensor, Tensor]]]:
        owner, pairs = layer, []
        for name in self._owner:
            owner = getattr(owner, name)

        def note(args, kwargs, result):
            pairs.append(tuple(result[:2]))

        with (
            self.captured_projections(layer) as projected,
            watched(owner, self._method, note),
        ):
            yield pairs
        if not pairs:  # a layer that does not use the method
            pairs.extend(projected)


class SharedKeysAdapter(AttentionAdapter):
    """For Gemma 4's attention, of which some layers attend to an earlier one's keys."""

    def projections(self, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        return [x for x in (layer.query_dense, layer.key_dense) if x is not None]


class JointAttentionAdapter(AttentionAdapter):
    """For Stable Diffusion 3's block, which attends over image and context at once."""

    attends_once = False  # with dual attention over the image once more

    def projections(self, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        return [layer.x_block.attention_qkv, layer.context_block.attention_qkv]


class MultiQueryConvolutionAdapter(AttentionAdapter):
    """For MobileNetV5's attention: projections are convolutions, with one key head."""

    def projections(self, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        if layer.data_format != "channels_last":
            raise ValueError(
                f"Layer '{layer.name}' must have the channels last to be aligned. "
                f"Received: data_format={layer.data_format}"
            )
        return [layer.query_layers[-1], layer.key_layers[-1]]

    def num_key_heads(self, layer: keras.layers.Layer) -> int:
        return 1


class ScaledQueryAdapter(AttentionAdapter):
    """For VideoPrism's attention: it may scale each feature of the queries as learned.

    The constant `1 / sqrt(H)` in that scale is left out, as everywhere.
    """

    def captured_projections(self, layer: keras.layers.Layer) -> Any:
        projected = super().captured_projections(layer)
        return _scaled(projected, layer) if layer.use_per_dim_scale else projected


@contextlib.contextmanager
def _scaled(projected, layer):
    queries, pairs = [], []

    def note(args, kwargs, result):
        queries.append(result * result.shape[-1] ** 0.5)

    with projected as unscaled, watched(layer.per_dim_scale_layer, "call", note):
        yield pairs
    for query, (_, key) in zip(queries, unscaled, strict=True):
        pairs.append((query, key))


class RelativePositionAdapter(AttentionAdapter):
    """For XLNet's attention: keys are multiplied by the query plus a learned bias."""

    @contextlib.contextmanager
    def capture(
        self, layer: keras.layers.Layer
    ) -> Iterator[list[tuple[Tensor, Tensor]]]:
        pairs = []

        def note(args, kwargs, result):
            query = kwargs["query"] + kwargs["content_attention_bias"]
            pairs.append((query, kwargs["key"]))

        with watched(layer, "compute_attention", note):
            yield pairs


class EncoderDecoderAdapter(AttentionAdapter):
    """For T5Gemma's attention: `attention_type` says whether keys are an encoder's."""

    def is_self_attention(
        self, layer: keras.layers.Layer, arguments: dict[str, Any]
    ) -> bool:
        return layer.attention_type == "self"


class MergedAttentionAdapter(AttentionAdapter):
    """For T5Gemma 2's decoder: keys of its own tokens and then of the encoder's."""

    def token_masks(
        self, layer: keras.layers.Layer, arguments: dict[str, Any], self_attention: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        query_mask, key_mask = super().token_masks(layer, arguments, False)
        if key_mask is not None:
            length = ops.shape(arguments["inputs"])[1]
            query_mask = key_mask[:, :length]
        return query_mask, key_mask
