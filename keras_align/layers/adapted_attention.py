"""Aligned subclasses of attention classes that are not Keras's own."""

import contextlib
import functools

from keras_align import keras_internals
from keras_align.adapters.call_arguments import arguments_by_name
from keras_align.adapters.grouping import match_groups
from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.alignment_settings import AlignmentSettings

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
        training_call = self._notes_training(training)
        captured = self.adapter.capture(self) if training_call else _NOTHING
        with captured as pairs:
            outputs = plain_call(self, *args, **kwargs)
        if training_call:
            same = bool(self._self_attention)
            for masked in self.adapter.masked_pairs(self, given, same, pairs):
                self._add_alignment_loss(*masked)
        return outputs

    def get_config(self):
        """The plain config; what holds the layer describes its alignment."""
        return super(AlignmentSettings, self).get_config()

    @property
    def alignment_shape(self):
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
