"""Compiling a model again after its weights became others.

The functions that `fit` has traced know the old weights only, and a built optimizer
refuses or skips new ones. So every compiled model that holds a converted layer is
compiled again with the same arguments, and an optimizer that has been used is replaced
by an equal one without slots.
"""

import inspect

import keras

from keras_align import keras_internals


def compiled_models(layers):
    """The compiled models among `layers`; raises if one cannot be compiled again.

    Args:
        layers: list of layers and models.

    Raises:
        ValueError: if a model's own `compile` does not take the arguments of
            `keras.Model.compile`.
    """
    models = [
        each
        for each in layers
        if isinstance(each, keras.Model) and getattr(each, "compiled", False)
    ]
    for model in models:
        try:
            arguments = keras_internals.compile_arguments(model)
            inspect.signature(model.compile).bind(**arguments)
        except (AttributeError, TypeError) as error:
            raise ValueError(
                f"Argument `model`: {type(model).__name__} '{model.name}' is compiled "
                "by a `compile` of its own, which cannot be repeated. Convert the "
                f"model first, then compile it. ({error})"
            ) from error
    return models


def recompile(models):
    """Compiles the models again with the arguments of their last `compile`."""
    for model in models:
        arguments = keras_internals.compile_arguments(model)
        with keras_internals.variable_scope(model):
            optimizer = keras_internals.fresh_optimizer(arguments["optimizer"])
            model.compile(**{**arguments, "optimizer": optimizer})
