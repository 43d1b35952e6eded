"""Dropout of attention weights that goes on outside training."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_align.adapters.capturing import replaced


@dataclass(frozen=True)
class AttentionDropout:
    """A place where attention weights are dropped.

    Attributes:
        owner: the layer that drops them.
        method: string, its method, of the weights and `training`.
        seeds: the `keras.random.SeedGenerator` of the layer.
    """

    owner: keras.layers.Layer
    method: str
    seeds: keras.random.SeedGenerator

    @contextlib.contextmanager
    def kept(self, seed: int, note: Callable[[], None]) -> Iterator[None]:
        """Context manager in which the weights are dropped in any call.

        Args:
            seed: int, from which it draws; the layer's own state comes back after.
            note: function that is called whenever the layer drops.
        """
        state = self.seeds.state
        before = ops.copy(ops.convert_to_tensor(state))
        state.assign(ops.convert_to_tensor([seed, 0], dtype=state.dtype))

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(weights: Any, training: Any = None) -> Any:
                note()
                return original(weights, training=True)

            return call

        try:
            with replaced(self.owner, self.method, make, all_threads=True):
                yield
        finally:
            state.assign(before)
