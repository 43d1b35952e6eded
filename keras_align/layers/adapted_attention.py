"""Aligned layers whose queries, keys and masks an adapter finds."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import keras

from keras_align import keras_internals
from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.call_arguments import arguments_by_name
from keras_align.adapters.captured import masked_pairs
from keras_align.adapters.grouping import match_groups
from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.constant_inputs import captured_of_constants, is_repeatable

_Arguments = ParamSpec("_Arguments")
_Outputs = TypeVar("_Outputs")


class AdaptedAttention(AlignedAttention):
    """Mixin for a layer whose queries, keys and masks an `AttentionAdapter` finds.

    Class attributes:
        plain_class: the class that it extends.
        adapter: `AttentionAdapter` of that class.
    """

    plain_class: type[keras.layers.Layer]
    adapter: AttentionAdapter
    _repeats_projections = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.alignment is not None:  # before casts, which make two tensors of one
            given = arguments_by_name(self._plain_call, args, kwargs)
            self._self_attention = self.adapter.is_self_attention(self, given)
        return super().__call__(*args, **kwargs)

    @property
    def _repeats_by_default(self) -> bool:
        return is_repeatable(self)

    @property
    def _plain_call(self):
        return self.plain_class.call.__get__(self)

    def _aligned_call(self, *args, **kwargs):
        if self.alignment is None:
            return self._plain_call(*args, **kwargs)
        given = arguments_by_name(self._plain_call, args, kwargs)
        training = given.get("training")
        if training is None:
            training = keras_internals.training_of_call()
        if not training:
            return self._plain_call(*args, **kwargs)
        outputs, pairs = self._call_and_capture(args, kwargs)
        same = self._self_attention or self.adapter.is_self_attention(self, given)
        self._self_attention = None  # the next `call` may come without `__call__`
        for masked in masked_pairs(self.adapter, self, given, same, pairs):
            self._add_alignment_loss(*masked)
        return outputs

    def _call_and_capture(self, args, kwargs):
        """Outputs of the plain layer, and the queries and keys to be aligned."""
        if not self._trains_projections_only:
            with self.adapter.capture(self) as pairs:
                outputs = self._plain_call(*args, **kwargs)
            return outputs, pairs
        pairs = captured_of_constants(self, self._plain_call, args, kwargs)
        return self._plain_call(*args, **kwargs), pairs

    @property
    def alignment_shape(self) -> tuple[int, int]:
        return self.adapter.num_key_heads(self), self.adapter.head_size(self)

    def _match_heads(self, query, key, query_mask, key_mask):
        heads = self.adapter.num_key_heads(self)
        return match_groups(query, key, query_mask, key_mask, heads)


def aligned_call(
    plain_call: Callable[_Arguments, _Outputs],
) -> Callable[_Arguments, _Outputs]:
    """The `call` of an aligned layer, with the signature of its plain class's."""

    @functools.wraps(plain_call)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._aligned_call(*args, **kwargs)

    return cast(Callable[_Arguments, _Outputs], call)


@functools.cache
def adapted_class(plain: Any, adapter: AttentionAdapter) -> Any:
    """The aligned subclass of an attention class, with its name and signature.

    Args:
        plain: subclass of `keras.layers.Layer`.
        adapter: `AttentionAdapter` for it.
    """
    names = {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "call": aligned_call(plain.call),
        "get_config": plain.get_config,  # what holds the layer describes its alignment
        "plain_class": plain,
        "adapter": adapter,
    }
    return type(plain)(f"Aligned{plain.__name__}", (AdaptedAttention, plain), names)
