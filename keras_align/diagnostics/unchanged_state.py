"""Calls of a model that leave its training as it was."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals


@contextlib.contextmanager
def unchanged_state(model: keras.Model) -> Iterator[None]:
    """Gives back what calls in inference mode have drawn and summed.

    A layer may draw in inference too, as `Dropout` that is called with `training=True`.
    The states of all random numbers, of weights that are not trained, as counters and
    means, and of what the alignments log, are then restored.

    Args:
        model: `keras.Model`. On JAX its variables must hold their values.
    """
    before = [(variable, _array(variable)) for variable in _states(model)]
    generator, python = keras_internals.random_state(), random.getstate()
    has_seed = keras_internals.known_global_seed() is not None
    try:
        with _without_gradients():
            yield
    finally:
        keras_internals.set_random_state(generator)
        random.setstate(python)
        if not has_seed:
            keras_internals.forget_global_seed()
        for variable, value in before:
            if not np.array_equal(_array(variable), value):
                variable.assign(value)


def _states(model):
    """Variables that are not trained, and the global seed."""
    trained = set(map(id, model.trainable_weights))
    own = [variable for variable in model.variables if id(variable) not in trained]
    seed = keras_internals.known_global_seed()
    return own if seed is None else [*own, seed]


def _array(variable):
    """A copy of the value; on PyTorch the array would share its memory."""
    return np.array(ops.convert_to_numpy(ops.convert_to_tensor(variable)))


def _without_gradients() -> contextlib.AbstractContextManager[Any]:
    """On PyTorch, which would keep what gradients need."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()
