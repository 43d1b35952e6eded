"""Aligned subclasses of attention classes that are not Keras's own."""

import contextlib
import functools
import inspect

from keras_align import keras_internals
from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.grouping import match_groups

_NOTHING = contextlib.nullcontext(())


class AdaptedAttention(AlignedAttention):
    """Mixin for a layer whose queries, keys and masks an `AttentionAdapter` finds.

    Class attributes:
        plain_class: the class that it extends.
        adapter: `AttentionAdapter` of that class.
    """

    plain_class = None
    adapter = None

    def __call__(self, *args, **kwargs):
        # Before casts, which make two tensors of one.
        given = arguments_by_name(self.call, args, kwargs)
        self._self_attention = self.adapter.is_self_attention(self, given)
        return super().__call__(*args, **kwargs)

    def _aligned_call(self, plain_call, *args, **kwargs):
        given = arguments_by_name(self.call, args, kwargs)
        training = given.get("training")
        if training is None:
            training = keras_internals.training_of_call()
        if self._alignment_tracker is not None and self._calls == 0:
            self._alignment_tracker.reporting = bool(training)
        training_call = training and self.alignment is not None
        captured = self.adapter.capture(self) if training_call else _NOTHING
        with captured as pairs:
            outputs = plain_call(self, *args, **kwargs)
        if training_call and not pairs:
            raise RuntimeError(
                f"The adapter of {self.plain_class.__name__} captured no queries and "
                f"keys in a call of layer '{self.name}', so nothing would be aligned."
            )
        for query, key in pairs:
            self.adapter.check_captured(self, query, key)
            masks = self.adapter.token_masks(self, given, self._self_attention)
            self._add_alignment_loss(query, key, *masks)
        return outputs

    @property
    def _matched_shape(self):
        return self.adapter.num_key_heads(self), self.adapter.head_size(self)

    def _match_heads(self, query, key, query_mask, key_mask):
        heads = self.adapter.num_key_heads(self)
        return match_groups(query, key, query_mask, key_mask, heads)


@functools.cache
def adapted_class(plain, adapter):
    """The aligned subclass of an attention class, with its name and signature.

    Args:
        plain: subclass of `keras.layers.Layer`.
        adapter: `AttentionAdapter` for it.
    """

    @functools.wraps(plain.call)
    def call(self, *args, **kwargs):
        return self._aligned_call(plain.call, *args, **kwargs)

    names = {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "call": call,
        "plain_class": plain,
        "adapter": adapter,
    }
    return type(plain)(f"Aligned{plain.__name__}", (AdaptedAttention, plain), names)


def arguments_by_name(call, args, kwargs):
    """The arguments of a call by the names of its signature.

    What the signature does not know, as a `training` that Keras takes for itself, is
    left out; what it gathers in `**kwargs` stands beside the others.

    Args:
        call: bound method `call` of a layer.
        args: tuple.
        kwargs: dict.
    """
    parameters = inspect.signature(call).parameters
    kinds = {each.kind: name for name, each in parameters.items()}
    gathered = kinds.get(inspect.Parameter.VAR_KEYWORD)
    named = dict(zip(parameters, args, strict=False))
    known = {name: x for name, x in kwargs.items() if gathered or name in parameters}
    return {**named, **known}
