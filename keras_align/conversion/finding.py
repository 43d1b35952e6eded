"""Finding the attention layers of a model."""

from dataclasses import dataclass
from typing import TypeVar

import keras

from keras_align import keras_internals
from keras_align.conversion.supported import (
    can_register,
    is_known_attention,
    is_named_attention,
    is_supported,
    why_unsupported,
)
from keras_align.validation.names import unique_name

Model = TypeVar("Model", bound=keras.layers.Layer)


@dataclass(frozen=True)
class Found:
    """An attention layer and where it is.

    Attributes:
        path: string, the names from below the model to the layer, joined by "/".
        layer: the attention layer.
    """

    path: str
    layer: keras.layers.Layer


def find_attention(model: keras.layers.Layer) -> tuple[list[Found], list[Found]]:
    """Finds the attention layers of a model; a shared layer is found once.

    Args:
        model: `keras.Model` or `keras.layers.Layer`.

    Returns:
        Pair of lists of `Found`: the supported layers, in the order in which the model
        lists its variables, and attention of other classes: of subclasses of Keras's,
        or with a name that says so and no attention inside.

    Raises:
        ValueError: if `model` is not a Keras model or layer.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            "Argument `model` must be a keras.Model or keras.layers.Layer. "
            f"Received: model={model!r}"
        )
    supported, others, seen, taken = [], [], set(), set()

    def visit(layer, names):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if is_supported(layer):
            supported.append(Found(unique(names, layer), layer))
            return
        before = len(supported) + len(others)
        for child in keras_internals.sublayers(layer):
            visit(child, (*names, child.name))
        around = len(supported) + len(others) > before
        if is_known_attention(layer) or (is_named_attention(layer) and not around):
            others.append(Found(unique(names, layer), layer))

    def unique(names, layer):
        return unique_name("/".join(names) or layer.name, taken)

    visit(model, ())
    return supported, others


def registration_hint(others: list[Found]) -> str:
    """Sentences for errors: which attention stays plain, and how to register a class.

    Args:
        others: list of `Found`, attention of other classes; may be empty.
    """
    listed = [
        f"{each.path} ({type(each.layer).__name__}): {why_unsupported(each.layer)}"
        for each in others
    ]
    names = [type(each.layer).__name__ for each in others if can_register(each.layer)]
    name = names[0] if names else "MyAttention"
    stays_plain = f" It has attention of other classes: {listed}." if listed else ""
    return (
        f"{stays_plain} Register a class of your own by "
        f"`keras_align.register_attention({name})`, or, if it keeps its projections "
        f"under other names, by `keras_align.register_attention({name}, "
        'keras_align.AttentionAdapter(query="to_q", key="to_k"))`.'
    )


def holders(model: keras.layers.Layer, found: list[Found]) -> list[keras.layers.Layer]:
    """The layers that hold any of the attention layers, at any depth.

    Args:
        model: the layer to search, itself included.
        found: list of `Found`.

    Returns:
        List of layers; every layer stands before the layers that hold it.
    """
    holds, ordered = {id(each.layer): True for each in found}, []

    def visit(layer):
        if id(layer) not in holds:
            holds[id(layer)] = False
            inside = [visit(child) for child in keras_internals.sublayers(layer)]
            if any(inside):
                holds[id(layer)] = True
                ordered.append(layer)
        return holds[id(layer)]

    visit(model)
    return ordered
