"""Layers of one's own, which hand their queries and keys over themselves."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.capturing import replaced
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

        with (
            replaced(layer, "add_alignment_loss", capturing),
            self._projected(layer) as projected,
        ):
            yield handed
        handed.extend([] if handed else projected)

    def _projected(self, layer):
        try:
            self.projections(layer)
        except ValueError:  # under none of the usual names
            return contextlib.nullcontext([])
        return self.captured_projections(layer)


ADDED_LOSS_ADAPTER = AddedLossAdapter()
