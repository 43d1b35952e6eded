"""The attention classes of Keras itself."""

import inspect

from keras import layers, ops

from keras_align.adapters import captured
from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.attention_axes import (
    flatten_attention_mask,
    flatten_scores,
    flatten_tokens,
)

_SCORES = "return_attention_scores"


class KerasAttentionAdapter(AttentionAdapter):
    """For layers that may attend over several axes, and return their scores."""

    def capture(self, layer):
        axes = _attention_axes(layer)
        pairs = super().capture(layer)
        return captured.converted(pairs, lambda x: flatten_tokens(x, axes, features=2))

    def masks_of_call(self, layer, arguments, self_attention):
        *masks, mask = super().masks_of_call(layer, arguments, self_attention)
        query, axes = self.queries(arguments), _attention_axes(layer)
        if mask is not None and len(query.shape) > 3:
            mask = flatten_attention_mask(mask, ops.shape(query)[:-1], axes)
        masks = [
            each if each is None else flatten_tokens(each, axes, features=0)
            for each in masks
        ]
        return *masks, mask

    def attention_mask(self, arguments, self_attention):
        mask = arguments.get("attention_mask")
        if mask is None:
            return None
        mask = ops.cast(mask, "bool")
        return mask[None] if len(mask.shape) == 2 else mask  # (1, T, S)

    def call_with_scores(self, layer, call, args, kwargs):
        signature = inspect.signature(type(layer).call)
        if _SCORES not in signature.parameters:  # a subclass with a call of its own
            return super().call_with_scores(layer, call, args, kwargs)
        given = signature.bind(layer, *args, **kwargs)
        asked = given.arguments.get(_SCORES, False)
        given.arguments[_SCORES] = True
        outputs, scores = call(*given.args[1:], **given.kwargs)
        flat = flatten_scores(scores, _attention_axes(layer))
        return (outputs, scores) if asked else outputs, flat


KERAS_ADAPTER = KerasAttentionAdapter()
KERAS_ADAPTERS = {
    layers.MultiHeadAttention: KERAS_ADAPTER,
    layers.GroupQueryAttention: KERAS_ADAPTER,
}


def _attention_axes(layer):
    return getattr(layer, "attention_axes", None)
