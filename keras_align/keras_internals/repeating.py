"""A call that is made once more than the model asks for."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops
from keras.src.backend.common.stateless_scope import (
    get_stateless_scope,
    in_stateless_scope,
)

from keras_align.keras_internals.calls import full_precision
from keras_align.keras_internals.fitting import random_state, set_random_state
from keras_align.keras_internals.layers import flattened
from keras_align.keras_internals.resuming import known_global_seed
from keras_align.keras_internals.unsaved_state import UnsavedState


@contextlib.contextmanager
def unrecorded(layer: keras.Layer) -> Iterator[None]:
    """Lets a call leave nothing behind that the next call would find.

    Losses are forgotten, and random states and other variables that are not trained get
    the values back that they had before.
    """
    drawn = random_state()
    with full_precision():
        states = [_kept(each) for each in _states(layer)]
    try:
        with _without_losses(layer):
            yield
    finally:
        with full_precision():
            for state, value, writes in states:
                if writes is None or writes != _writes(state):
                    state.assign(value)
        set_random_state(drawn)


def _states(layer: keras.Layer) -> list[keras.Variable]:
    """Variables inside a layer that its `call` may write."""
    found = [known_global_seed()]
    if keras.backend.backend() != "jax":  # where `call` cannot write a metric
        found += layer.metrics_variables
    for each in flattened(layer):
        found += each._non_trainable_variables
        seeds = each._seed_generators
        found += [x.state for x in seeds if not isinstance(x, UnsavedState)]
    return [x for x in found if x is not None]


def _kept(state: keras.Variable) -> tuple[keras.Variable, Any, int | None]:
    return state, ops.copy(state.value), _writes(state)


def _writes(state: keras.Variable) -> int | None:
    """How often PyTorch has written a variable: it counts each write in a backward."""
    return getattr(state.value, "_version", None)


@contextlib.contextmanager
def _without_losses(layer: keras.Layer) -> Iterator[None]:
    """Forgets what the layer and its sublayers add to the loss."""
    inside = flattened(layer)
    kept = [(each, list(each._losses), set(each._loss_ids)) for each in inside]
    of_step = get_stateless_scope().losses if in_stateless_scope() else []
    number = len(of_step)
    try:
        yield
    finally:
        for each, losses, ids in kept:
            each._losses[:] = losses
            each._loss_ids.clear()
            each._loss_ids.update(ids)
        del of_step[number:]
