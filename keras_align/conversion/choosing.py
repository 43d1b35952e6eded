"""Choosing among the attention layers of a model, and what each of them gets."""

import numbers
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_align.conversion.finding import Found, registration_hint
from keras_align.conversion.swapping import checked

_SEQUENCES = list, tuple, range, np.ndarray
_One: TypeAlias = (
    str | re.Pattern | int | keras.layers.Layer | Callable[[keras.layers.Layer], bool]
)
Choice: TypeAlias = _One | Sequence[_One] | None


def assign(
    found: list[Found],
    others: list[Found],
    alignment: Any,
    alignment_weight: Any,
    layers: Choice,
) -> list[tuple[Found, str | dict[str, Any], Any]]:
    """Which layers are to be aligned, and how, see `align_model`.

    Args:
        found: list of `Found`, the supported layers.
        others: list of `Found`, attention of other classes, for messages.
        alignment: argument of `align_model`.
        alignment_weight: argument of `align_model`.
        layers: argument of `align_model`.

    Returns:
        List of triples, in the order of `found`: `Found`, name or config, weight.

    Raises:
        ValueError: if an argument is wrong, or a layer is chosen twice.
    """
    if not isinstance(alignment, dict) or "class_name" in alignment:
        config = checked(alignment, alignment_weight)
        chosen = select(found, others, layers)
        return [(each, config, alignment_weight) for each in chosen]
    if layers is not None or not alignment:
        raise ValueError(
            "Argument `alignment`: a dict has layers as its keys, at least one, and "
            "`layers` is None beside it. "
            f"Received: alignment={alignment}, layers={layers!r}"
        )
    assigned = {}
    for choice, name in alignment.items():
        config = checked(name, alignment_weight)
        for each in select(found, others, choice):
            if each.path in assigned:
                raise ValueError(
                    f"Argument `alignment`: the layer '{each.path}' is chosen by more "
                    f"than one key. Received: alignment={alignment}"
                )
            assigned[each.path] = each, config, alignment_weight
    return [assigned[each.path] for each in found if each.path in assigned]


def select(found: list[Found], others: list[Found], chosen: Choice) -> list[Found]:
    """The layers that an argument `layers` chooses, see `align_model`.

    Args:
        found: list of `Found`, the supported layers.
        others: list of `Found`, attention of other classes, for messages.
        chosen: `None` for all; a string, regular expression, int, layer, predicate, or
            a list of these.

    Returns:
        List of `Found` in the order of `found`.

    Raises:
        ValueError: if one of the choices, or all together, match nothing.
    """
    if chosen is None:
        return list(found)
    choices = chosen if isinstance(chosen, _SEQUENCES) else [chosen]
    picked = set()
    for choice in choices:
        matches = _matches(found, choice)
        if not matches:
            raise ValueError(
                f"Argument `layers`: {choice!r} matches none of the attention layers "
                f"{[each.path for each in found]}. Received: layers={chosen!r}."
                + _hint_at(others, choice)
            )
        picked.update(matches)
    if not picked:
        raise ValueError(
            "Argument `layers` must choose at least one layer. "
            f"Received: layers={chosen!r}"
        )
    return [each for index, each in enumerate(found) if index in picked]


def _hint_at(others, choice):
    """What to do about attention of other classes that a name or layer chooses."""
    if not isinstance(choice, (str, re.Pattern, keras.layers.Layer)):
        return ""
    matches = [others[index] for index in _matches(others, choice)]
    return registration_hint(matches) if matches else ""


def _matches(found, choice):
    """Indices of the layers that one choice matches."""
    if isinstance(choice, str):
        return [i for i, each in enumerate(found) if _contains(each.path, choice)]
    if isinstance(choice, re.Pattern):
        return [i for i, each in enumerate(found) if choice.search(each.path)]
    if isinstance(choice, keras.layers.Layer):
        return [i for i, each in enumerate(found) if each.layer is choice]
    if callable(choice) and not isinstance(choice, type):
        return [i for i, each in enumerate(found) if choice(each.layer)]
    if isinstance(choice, numbers.Integral) and not isinstance(choice, bool):
        index = int(choice)
        if -len(found) <= index < len(found):
            return [index % len(found)]
        raise ValueError(
            f"Argument `layers`: expected indices from {-len(found)} to "
            f"{len(found) - 1}. Received: {index}"
        )
    raise ValueError(
        "Argument `layers` must be None, a name or path, a regular expression, an "
        f"index, a layer, a predicate, or a list of these. Received: layers={choice!r}"
    )


def _contains(path, names):
    """Whether the names stand one after the other in the path."""
    return f"/{names.strip('/')}/" in f"/{path}/"
