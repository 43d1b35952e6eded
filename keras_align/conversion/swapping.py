"""One attention layer made aligned, or plain again, without a new object."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_align import keras_internals
from keras_align.alignments import get_alignment, serialize_alignment
from keras_align.conversion.supported import aligned_class, plain_class
from keras_align.layers.adapted_attention import AdaptedAttention
from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.layers.alignment_weight import check_weight

_MISSING = object()


def make_aligned(
    layer: keras.layers.Layer, alignment: Any, alignment_weight: Any
) -> None:
    """Changes the class of a built attention layer and builds a new alignment in it.

    The layer, its variables and its place in a functional graph stay the same objects.

    Args:
        layer: built attention layer of a supported class.
        alignment: name or serialised config, of which the layer's own one is made.
        alignment_weight: float, `keras.Variable` or `None`.
    """
    with keras_internals.unlocked(layer):
        layer.__class__ = aligned_class(type(layer)) or type(layer)
        layer._set_alignment(alignment, alignment_weight)
        keras_internals.track_first(layer, layer.alignment)
        with keras_internals.name_scope(layer):
            layer._build_alignment()


def make_plain(layer: keras.layers.Layer) -> None:
    """Gives an aligned attention layer its own class back and drops the alignment."""
    if layer._alignment_tracker is not None:
        layer._alignment_tracker.leave()
    layer.__class__ = plain_class(type(layer))
    keras_internals.remove_attributes(layer, attribute_names())
    if isinstance(layer, AlignedAttention):  # a layer of the user's own
        with keras_internals.unlocked(layer):
            layer._set_alignment(None, None)


def snapshot(layer: keras.layers.Layer) -> Callable[[], None]:
    """Returns a function that undoes a later `make_aligned` or `make_plain`."""
    cls = type(layer)
    before = {name: getattr(layer, name, _MISSING) for name in attribute_names()}
    reorder = keras_internals.tracked_order(layer)

    def undo():
        layer.__class__ = cls
        keras_internals.remove_attributes(layer, before)
        with keras_internals.unlocked(layer):
            for name, value in before.items():
                if value is not _MISSING:
                    setattr(layer, name, value)
        reorder()

    return undo


def hidden_alignment(
    layer: keras.layers.Layer,
) -> contextlib.AbstractContextManager[None]:
    """Context manager in which the layer does not list what the alignment added."""
    added = [getattr(layer, name, None) for name in attribute_names()]
    return keras_internals.without_sublayers(layer, added)


def options(layer: keras.layers.Layer) -> dict[str, Any] | None:
    """What `make_aligned` needs to make an equal aligned layer, or `None`."""
    return layer.alignment_options if isinstance(layer, AlignedAttention) else None


def checked(alignment: Any, alignment_weight: Any) -> Any:
    """Returns the name or the serialised alignment; raises if an argument is wrong."""
    name, alignment = alignment, get_alignment(alignment)
    if alignment is None:
        raise ValueError(
            "Argument `alignment` must name an alignment. Received: alignment=None"
        )
    check_weight(alignment_weight, alignment)
    cls = type(alignment)
    if keras.saving.get_registered_name(cls) == cls.__name__:
        raise ValueError(
            f"Argument `alignment`: {cls.__name__} is not registered: the model could "
            "not be loaded again. Decorate the class with "
            "`keras_align.register_alignment(name)`."
        )
    return name if isinstance(name, str) else serialize_alignment(alignment)


def reserved_names(layer: keras.layers.Layer) -> list[str]:
    """Names that a plain layer uses and its aligned class needs for itself."""
    ours = {*dir(AdaptedAttention), *attribute_names()} - {*dir(keras.layers.Layer)}
    ours -= {"__annotations__"}
    own = vars(layer).keys() | {*dir(type(layer))}
    return sorted(ours & own)


@functools.cache
def attribute_names() -> tuple[str, ...]:
    """Names of the attributes that an aligned layer has beyond its plain parent."""
    aligned, plain = AlignedAttention(alignment=None), keras.layers.Layer()
    return tuple(name for name in vars(aligned) if name not in vars(plain))
