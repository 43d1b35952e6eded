"""Finding the attention layers of a model, and choosing among them."""

import operator
from dataclasses import dataclass

import keras

from keras_align import keras_internals
from keras_align.conversion.supported import is_other_attention, is_supported


@dataclass(frozen=True)
class Found:
    """An attention layer and where it is.

    Attributes:
        path: string, the names from below the model to the layer, joined by "/".
        layer: the attention layer.
    """

    path: str
    layer: keras.layers.Layer


def find_attention(model):
    """Finds the attention layers of a model; a shared layer is found once.

    Args:
        model: `keras.Model` or `keras.layers.Layer`.

    Returns:
        Pair of lists of `Found`: the supported layers, in the order in which the model
        lists its variables, and layers that look like attention of another kind.

    Raises:
        ValueError: if `model` is not a Keras model or layer.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            "Argument `model` must be a keras.Model or keras.layers.Layer. "
            f"Received: model={model!r}"
        )
    supported, others, seen, taken = [], [], set(), {}

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
        if len(supported) + len(others) == before and is_other_attention(layer):
            others.append(Found(unique(names, layer), layer))

    def unique(names, layer):
        path = "/".join(names) or layer.name
        taken[path] = taken.get(path, 0) + 1
        return path if taken[path] == 1 else f"{path}_{taken[path]}"

    visit(model, ())
    return supported, others


def holders(model, found):
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


def select(found, chosen):
    """The layers that an argument `layers` chooses, see `align_model`.

    Args:
        found: list of `Found`.
        chosen: `None` for all; a string, int, layer, predicate, or a list of these.

    Returns:
        List of `Found` in the order of `found`.

    Raises:
        ValueError: if one of the choices, or all together, match nothing.
    """
    if chosen is None:
        return list(found)
    choices = chosen if isinstance(chosen, (list, tuple, range)) else [chosen]
    picked = set()
    for choice in choices:
        matches = _matches(found, choice)
        if not matches:
            raise ValueError(
                f"Argument `layers`: {choice!r} matches none of the attention layers "
                f"{[each.path for each in found]}. Received: layers={chosen!r}"
            )
        picked.update(matches)
    if not picked:
        raise ValueError(
            "Argument `layers` must choose at least one layer. "
            f"Received: layers={chosen!r}"
        )
    return [each for index, each in enumerate(found) if index in picked]


def _matches(found, choice):
    """Indices of the layers that one choice matches."""
    if isinstance(choice, str):
        return [i for i, each in enumerate(found) if _contains(each.path, choice)]
    if isinstance(choice, keras.layers.Layer):
        return [i for i, each in enumerate(found) if each.layer is choice]
    if callable(choice) and not isinstance(choice, type):
        return [i for i, each in enumerate(found) if choice(each.layer)]
    if hasattr(choice, "__index__") and not isinstance(choice, bool):
        index = operator.index(choice)
        if -len(found) <= index < len(found):
            return [index % len(found)]
        raise ValueError(
            f"Argument `layers`: expected indices from {-len(found)} to "
            f"{len(found) - 1}. Received: {index}"
        )
    raise ValueError(
        "Argument `layers` must be None, a name or path, an index, a layer, a "
        f"predicate, or a list of these. Received: layers={choice!r}"
    )


def _contains(path, names):
    """Whether the names stand one after the other in the path."""
    return f"/{names.strip('/')}/" in f"/{path}/"
