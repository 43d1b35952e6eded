"""The attention classes of Keras itself."""

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_align.adapters import captured
from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.attention_axes import (
    flatten_attention_mask,
    flatten_scores,
    flatten_tokens,
)
from keras_align.divergences.numerics import Tensor

_SCORES = "return_attention_scores"


class KerasAttentionAdapter(AttentionAdapter):
    """For layers that may attend over several axes, and return their scores."""

    def capture(
        self, layer: keras.layers.Layer
    ) -> contextlib.AbstractContextManager[list[tuple[Tensor, Tensor]]]:
        axes = _attention_axes(layer)
        pairs = super().capture(layer)
        return captured.converted(pairs, lambda x: flatten_tokens(x, axes, features=2))

    def masks_of_call(
        self, layer: keras.layers.Layer, arguments: dict[str, Any], self_attention: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        masks = super().masks_of_call(layer, arguments, self_attention)
        query_mask, key_mask, mask = masks
        query, axes = self.queries(arguments), _attention_axes(layer)
        if mask is not None and len(query.shape) > 3:
            mask = flatten_attention_mask(mask, ops.shape(query)[:-1], axes)
        query_mask, key_mask = (
            each if each is None else flatten_tokens(each, axes, features=0)
            for each in (query_mask, key_mask)
        )
        return query_mask, key_mask, mask

    def attention_mask(
        self, arguments: dict[str, Any], self_attention: bool
    ) -> Tensor | None:
        mask = arguments.get("attention_mask")
        if mask is None:
            return None
        mask = ops.cast(mask, "bool")
        return mask[None] if len(mask.shape) == 2 else mask  # (1, T, S)

    def call_with_scores(
        self,
        layer: keras.layers.Layer,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, Tensor | None]:
        signature = inspect.signature(type(layer).call)
        if _SCORES not in signature.parameters:  # a subclass with a call of its own
            return super().call_with_scores(layer, call, args, kwargs)
        given = signature.bind(layer, *args, **kwargs)
        asked = given.arguments.get(_SCORES, False)
        given.arguments[_SCORES] = True
        outputs, scores = call(*given.args[1:], **given.kwargs)
        flat = flatten_scores(scores, _attention_axes(layer))
        return (outputs, scores) if asked else outputs, flat


KERAS_ADAPTER = KerasAttentionAdapter(symmetry="full")


def _attention_axes(layer):
    return getattr(layer, "attention_axes", None)
