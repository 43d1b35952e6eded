"""What an attention layer is called with."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_align.adapters.tokens_of_call import TokensOfCall

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def takes_training(model: keras.Model) -> bool:
    """Whether `call` has an argument `training`, so that Keras tells the layers."""
    return "training" in model.call_signature_parameters


@contextlib.contextmanager
def noted_self_attention(
    layer: keras.layers.Layer, adapter: TokensOfCall
) -> Iterator[list[bool]]:
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
    cls: Any = type(layer)
    noted: list[bool] = []

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
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


def arguments_by_name(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
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
