"""Turning the attention of an existing model into aligned attention."""

import contextlib

import keras

from keras_align import keras_internals
from keras_align.adapters.call_arguments import takes_training
from keras_align.alignments import Alignment
from keras_align.conversion.choosing import Choice, assign
from keras_align.conversion.containers import (
    make_container,
    needs_container,
    unmake_container,
)
from keras_align.conversion.finding import (
    Model,
    find_attention,
    holders,
    registration_hint,
)
from keras_align.conversion.recompiling import compilations, recompile
from keras_align.conversion.supported import check_layer, is_aligned
from keras_align.conversion.swapping import (
    make_aligned,
    reserved_names,
    snapshot,
)
from keras_align.layers.aligned_attention import AlignedAttention


def align_model(
    model: Model,
    alignment: str | Alignment | dict = "ct",
    alignment_weight: float | keras.Variable | None = None,
    layers: Choice = None,
) -> Model:
    """Makes attention layers of a model align their keys and queries, in place.

    Every attention layer of a supported class in the model, at any depth, becomes one
    of its aligned subclass, with an alignment of its own. The layers, their weights and
    their names stay, predictions do not change by a bit, and training adds the
    alignment loss. The model can be saved as before; to load it, import `keras_align`.
    Convert the outermost model, the one that is trained and saved.
    `keras_align.strip_alignment` is the inverse.

    Supported are `keras.layers.MultiHeadAttention` and `GroupQueryAttention`, the
    attention classes of keras-hub, and those given to `register_attention`. Queries and
    keys are matched as the scores use them, after normalisation and rotary embedding;
    in self-attention the positions rotate both in the same way.

    A compiled model is compiled again with the same arguments. If it has been trained,
    its optimizer starts anew: its slots and its step count, on which a learning rate
    schedule depends, are lost.

    Args:
        model: built `keras.Model` or `keras.layers.Layer`.
        alignment: `"ct"`, `"gan"`, `"ot"`, `"mmd"`, an `Alignment`, of which each layer
            gets a fresh copy, or its serialised config. Defaults to `"ct"`. For
            different ones in one call, a dict from layers, as in `layers`, to these.
        alignment_weight: float >= 0 or scalar `keras.Variable`, factor of each layer's
            divergence in the loss. `None`, the default, is the alignment's own
            `default_weight`.
        layers: which attention layers, `None` for all. A string chooses by name: the
            layer's path in `alignment_report(model)` or consecutive names of it, so
            `"transformer_layer_0"` chooses the attention inside. A regular expression
            chooses the paths in which it is found: `re.compile("encoder")` is the
            encoder only. An int is an index in the order of the report,
            -1 the last; `range(-n, 0)` are the last n. A layer chooses itself, a
            function of a layer those for which it returns true. A list, tuple or range
            joins choices.

    Returns:
        `model`.

    Raises:
        ValueError: if an argument is wrong, nothing is chosen, or a chosen layer is not
            built or is aligned already. The model is then unchanged.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras.Model(inputs, keras.layers.Dense(1)(x))
    >>> model = keras_align.align_model(model, alignment="ct", layers="attention")
    >>> model.get_layer("attention")
    <AlignedMultiHeadAttention name=attention, built=True>
    """
    found, others = find_attention(model)
    _check_training_argument(model)
    if not found:
        raise ValueError(_nothing_to_align(model, others))
    assigned = assign(found, others, alignment, alignment_weight, layers)
    chosen = [each for each, _, _ in assigned]
    _check_layers(chosen)
    holding = holders(model, chosen)
    compiled = compilations(holding)
    with contextlib.ExitStack() as undo:
        undo.callback(keras_internals.track_parameters, model)
        with keras_internals.variable_scope(model):
            for each, config, weight in assigned:
                undo.callback(snapshot(each.layer))
                if isinstance(weight, keras.Variable):
                    undo.callback(setattr, weight, "trainable", weight.trainable)
                make_aligned(each.layer, config, weight)
        attention = [each.layer for each in chosen]
        for holder in filter(needs_container, [*attention, *holding]):
            undo.callback(unmake_container, holder)
            make_container(holder)
        keras_internals.track_parameters(model)
        recompile(compiled, undo)
        undo.pop_all()
    return model


def _check_training_argument(model):
    if isinstance(model, keras.Model) and not takes_training(model):
        raise ValueError(
            f"Argument `model`: `{type(model).__name__}.call` has no argument "
            "`training`, so Keras does not tell its layers that they are in training "
            "and nothing would be aligned. Add `training=None` to it."
        )


def _nothing_to_align(model, others):
    if not model.built:
        return (
            f"Argument `model`: '{model.name}' is not built, so its attention layers "
            "may not exist yet. Call it once on data before `align_model`."
        )
    message = (
        f"Argument `model`: '{model.name}' has no attention layer of a supported class."
    )
    return message + registration_hint(others)


def _check_layers(chosen):
    unbuilt = [each.path for each in chosen if not each.layer.built]
    if unbuilt:
        raise ValueError(
            f"Argument `model`: the attention layers {unbuilt} are not built. Call the "
            "model once on data before `align_model`; leave out layers that it never "
            "calls with `layers`."
        )
    for each in chosen:
        check_layer(each.layer)
    aligned = [each.path for each in chosen if is_aligned(each.layer)]
    if aligned:
        raise ValueError(
            f"Argument `model`: the attention layers {aligned} are aligned already. "
            "Call `keras_align.strip_alignment(model)` first, or choose others with "
            "`layers`."
        )
    for each in chosen:
        own = reserved_names(each.layer)
        if own and not isinstance(each.layer, AlignedAttention):
            raise ValueError(
                f"Argument `model`: the attention layer {each.path} has attributes "
                f"or methods that an aligned layer needs for itself. Received: {own}"
            )
