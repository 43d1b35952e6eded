"""Turning aligned attention into plain attention again."""

import contextlib

from keras_align.conversion.finding import find_attention, holders
from keras_align.conversion.hosts import AlignedHost, leave_host, make_host
from keras_align.conversion.recompiling import compilations, recompile
from keras_align.conversion.supported import plain_class
from keras_align.conversion.swapping import make_plain, snapshot
from keras_align.layers.aligned_attention import AlignedAttention


def strip_alignment(model):
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
    found, _ = find_attention(model)
    aligned = [each for each in found if isinstance(each.layer, AlignedAttention)]
    unknown = [
        each.path
        for each in aligned
        if issubclass(plain_class(type(each.layer)), AlignedAttention)
    ]
    if unknown:
        raise ValueError(
            f"Argument `model`: the layers {unknown} are of subclasses of the aligned "
            "layers, whose plain classes are not known. Build them with "
            "`alignment=None` instead."
        )
    hosts = [each for each in holders(model, found) if isinstance(each, AlignedHost)]
    if not (aligned or hosts):
        raise ValueError(
            f"Argument `model`: '{model.name}' has no aligned attention layer."
        )
    compiled = compilations(holders(model, aligned))
    with contextlib.ExitStack() as undo:
        for each in aligned:
            undo.callback(snapshot(each.layer))
            make_plain(each.layer)
        for host in hosts:
            undo.callback(make_host, host)
            leave_host(host)
        recompile(compiled, undo)
        undo.pop_all()
    return model
