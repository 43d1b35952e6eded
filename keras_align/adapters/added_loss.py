"""Layers of one's own, which hand their queries and keys over themselves."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.captured import check_calls, split_heads
from keras_align.adapters.capturing import calling_method, replaced, watched
from keras_align.adapters.usual_names import NUM_HEADS, first_number


class AddedLossAdapter(AttentionAdapter):
    """For subclasses of `AlignedAttention` that call `add_alignment_loss`."""

    def num_heads(self, layer: keras.layers.Layer) -> int:
        return first_number(layer, NUM_HEADS) or layer.alignment_shape[0]

    def num_key_heads(self, layer: keras.layers.Layer) -> int:
        return layer.alignment_shape[0]

    def head_size(self, layer: keras.layers.Layer) -> int:
        return layer.alignment_shape[1]

    @contextlib.contextmanager
    def capture(self, layer: keras.layers.Layer) -> Iterator[list[tuple]]:
        """Notes what is handed over; without it, the outputs of the projections.

        A layer may hand nothing over outside training.
        """
        handed: list[tuple] = []

        def capturing(original: Any) -> Any:
            def add_alignment_loss(query, key, query_mask=None, key_mask=None):
                handed.append((query, key, query_mask, key_mask))
                return original(query, key, query_mask, key_mask)

            return add_alignment_loss

        projected: tuple[list, list] = [], []
        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced(layer, "add_alignment_loss", capturing))
            for found, projection in zip(projected, self._usual(layer), strict=False):
                method = calling_method(projection)
                note = functools.partial(_append_result, found)
                stack.enter_context(watched(projection, method, note))
            yield handed
        if not handed:
            handed.extend(self._split(layer, *projected))

    def _usual(self, layer):
        """The projections under the usual names, if there are any."""
        try:
            return self.projections(layer)
        except ValueError:
            return []

    def _split(self, layer, queries, keys):
        check_calls(layer, queries, keys)
        heads = self.num_heads(layer), self.num_key_heads(layer)
        for pair in zip(queries, keys, strict=True):
            sizes = zip(pair, heads, strict=True)
            size = self.head_size(layer)
            yield tuple(split_heads(x, layer, number, size) for x, number in sizes)


def _append_result(found, args, kwargs, result):
    found.append(result)


ADDED_LOSS_ADAPTER = AddedLossAdapter()
