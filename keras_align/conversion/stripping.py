"""Turning aligned attention into plain attention again."""

import contextlib
from collections.abc import Iterator

import keras

from keras_align import keras_internals
from keras_align.conversion.containers import (
    AlignedContainer,
    make_container,
    unmake_container,
)
from keras_align.conversion.finding import Found, Model, find_attention, holders
from keras_align.conversion.recompiling import compilations, recompile
from keras_align.conversion.supported import is_own_class
from keras_align.conversion.swapping import make_plain, snapshot
from keras_align.layers.adapted_attention import AdaptedAttention
from keras_align.layers.aligned_attention import AlignedAttention


def strip_alignment(model: Model) -> Model:
    """Removes the alignments from a model, in place: the inverse of `align_model`.

    All aligned layers get their own classes back and lose their alignments. Names,
    paths, weights and predictions stay. What is saved or exported afterwards needs no
    `keras_align`. A compiled model is compiled again as by `align_model`.

    Args:
        model: `keras.Model` or `keras.layers.Layer`, aligned by `align_model` or built
            with aligned layers.

    Returns:
        `model`.

    Raises:
        ValueError: if no layer of the model is aligned, or one is of a subclass of an
            aligned layer. The model is then unchanged.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras_align.align_model(keras.Model(inputs, x))
    >>> model = keras_align.strip_alignment(model)
    >>> model.get_layer("attention")
    <MultiHeadAttention name=attention, built=True>
    """
    aligned, containers = _to_strip(model)
    compiled = compilations(holders(model, aligned))
    with contextlib.ExitStack() as undo:
        _make_plain(model, aligned, containers, undo)
        recompile(compiled, undo)
        undo.pop_all()
    return model


@contextlib.contextmanager
def without_alignment(model: Model) -> Iterator[Model]:
    """Lets a model be plain for the length of a `with` block, as for an export.

    Inside it has the plain classes, and none of the weights that only training needs;
    afterwards it is aligned as before, compiled as before, with its optimizer, and can
    be trained on. Training inside is that of the plain model, by the same optimizer; on
    JAX it is an error if the alignment has weights, as in `"ct"` and `"gan"`. No other
    thread may use the model inside.

    Args:
        model: as for `strip_alignment`. A model without aligned layers stays as it is.

    Yields:
        `model`.

    Raises:
        ValueError: if a layer is of a subclass of an aligned layer.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras_align.align_model(keras.Model(inputs, x))
    >>> with keras_align.without_alignment(model):
    ...     len(model.weights)
    8
    >>> len(model.weights) > 8
    True
    """
    with contextlib.ExitStack() as undo:
        for each in keras_internals.flattened(model):
            if isinstance(each, keras.Model):
                undo.enter_context(keras_internals.fresh_functions(each))
        _make_plain(model, *_to_strip(model, missing_ok=True), undo)
        yield model


def _to_strip(
    model: keras.layers.Layer, missing_ok: bool = False
) -> tuple[list[Found], list[AlignedContainer]]:
    """The aligned layers, as found, and the containers of a model."""
    found, _ = find_attention(model)
    aligned = [each for each in found if _has_alignment_to_strip(each.layer)]
    unknown = [each.path for each in aligned if not _has_plain_form(each.layer)]
    if unknown:
        raise ValueError(
            f"Argument `model`: the layers {unknown} are of subclasses of the aligned "
            "layers, whose plain classes are not known. Build them with "
            "`alignment=None` instead."
        )
    containers = [x for x in holders(model, found) if isinstance(x, AlignedContainer)]
    if not (aligned or containers or missing_ok):
        raise ValueError(
            f"Argument `model`: '{model.name}' has no aligned attention layer."
        )
    return aligned, containers


def _has_alignment_to_strip(layer):
    """Whether it has one, or is of our class, which is not the plain one."""
    if not isinstance(layer, AlignedAttention):
        return False
    return layer.alignment is not None or not is_own_class(layer)


def _has_plain_form(layer):
    """Not so a user's subclass of an aligned layer; other layers stay as they are."""
    return not (is_own_class(layer) and isinstance(layer, AdaptedAttention))


def _make_plain(model, aligned, containers, undo):
    """Makes layers and containers plain; `undo` gets what makes them aligned again."""
    undo.callback(keras_internals.track_parameters, model)
    for each in aligned:
        undo.callback(snapshot(each.layer))
    for container in containers:
        undo.callback(make_container, container)
    for each in aligned:
        make_plain(each.layer)
    for container in containers:
        unmake_container(container)
    keras_internals.track_parameters(model)
