"""Compiling a model again after its weights became others.

The functions that `fit` has traced know the old weights only, and a built optimizer
refuses or skips new ones. So every compiled model that holds a converted layer is
compiled again with the same arguments, and an optimizer that has been used is replaced
by an equal one without slots.
"""

import contextlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass

import keras

from keras_align import keras_internals


@dataclass(frozen=True)
class Compilation:
    """A compiled model, how it was compiled, and how it is to be compiled again."""

    model: keras.Model
    before: dict
    again: dict


def compilations(layers: Iterable[keras.layers.Layer]) -> list[Compilation]:
    """Prepares to compile the compiled models among `layers` again.

    Args:
        layers: list of layers and models.

    Returns:
        List of `Compilation`.

    Raises:
        ValueError: if a model cannot be compiled again: its own `compile` does not
            take the arguments of `keras.Model.compile`, or its optimizer cannot be
            rebuilt from its config.
    """
    return [
        _compilation(each)
        for each in layers
        if isinstance(each, keras.Model) and getattr(each, "compiled", False)
    ]


def _compilation(model):
    who = f"Argument `model`: {type(model).__name__} '{model.name}'"
    remedy = "Convert the model first, then compile it."
    try:
        before = keras_internals.compile_arguments(model)
        inspect.signature(model.compile).bind(**before)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{who} is compiled by a `compile` of its own, which cannot be repeated. "
            f"{remedy} ({error})"
        ) from error
    try:
        with keras_internals.variable_scope(model):
            optimizer = keras_internals.fresh_optimizer(before["optimizer"])
    except Exception as error:  # whatever the optimizer's own config raises
        raise ValueError(
            f"{who} is compiled with an optimizer that cannot be rebuilt from its "
            f"config. {remedy} ({error})"
        ) from error
    return Compilation(model, before, {**before, "optimizer": optimizer})


def recompile(prepared: list[Compilation], undo: contextlib.ExitStack) -> None:
    """Compiles the models again.

    Args:
        prepared: list of `Compilation`.
        undo: `contextlib.ExitStack`, which gets what undoes it.
    """
    for each in prepared:
        with keras_internals.variable_scope(each.model):
            undo.callback(each.model.compile, **each.before)
            each.model.compile(**each.again)
