"""Aligned subclasses of attention classes that are not Keras's own."""

import contextlib
import functools
import inspect

from keras_align import keras_internals
from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.grouping import match_groups

_NOTHING = contextlib.nullcontext(())
_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


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
        if training_call:
            same = bool(self._self_attention)
            for masked in self.adapter.masked_pairs(self, given, same, pairs):
                self._add_alignment_loss(*masked)
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


@contextlib.contextmanager
def noted_self_attention(layer, adapter):
    """Notes of every call of a layer whether its queries and keys are of one input.

    As `AdaptedAttention` does for itself, in `__call__`, before casts make two tensors
    of one. An instance cannot have a `__call__` of its own: for the time of the `with`
    statement the layer is of a subclass.

    Args:
        layer: attention layer, plain or aligned.
        adapter: its `AttentionAdapter`.

    Yields:
        List, empty at first, of bools.
    """
    cls, noted = type(layer), []

    def call(self, *args, **kwargs):
        given = arguments_by_name(cls.call.__get__(self), args, kwargs)
        noted.append(adapter.is_self_attention(self, given))
        return cls.__call__(self, *args, **kwargs)

    names = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__call__": call,
        "noted_class": getattr(cls, "noted_class", cls),
    }
    layer.__class__ = type(cls)(cls.__name__, (cls,), names)
    try:
        yield noted
    finally:
        layer.__class__ = cls


def arguments_by_name(call, args, kwargs):
    """The arguments of a call by the names of its signature, and in its order.

    What the signature does not know, as a `training` that Keras takes for itself, is
    left out; what it gathers in `*args`, as a tuple, and in `**kwargs` comes last.

    Args:
        call: bound method `call` of a layer.
        args: tuple.
        kwargs: dict.
    """
    parameters = inspect.signature(call).parameters
    kinds = {each.kind: name for name, each in parameters.items()}
    names = [name for name, each in parameters.items() if each.kind in _BY_POSITION]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    named = {name: given[name] for name in parameters if name in given}
    if inspect.Parameter.VAR_POSITIONAL in kinds and args[len(names) :]:
        named[kinds[inspect.Parameter.VAR_POSITIONAL]] = args[len(names) :]
    return {**named, **given} if inspect.Parameter.VAR_KEYWORD in kinds else named
