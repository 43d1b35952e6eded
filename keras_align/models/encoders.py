"""The encoders of questions and images that a user brings."""

import re
from typing import Any

import keras
from keras import tree

from keras_align import keras_internals

_OUTPUT = "sequence_output"  # of the backbones of keras-hub
_TAKEN = {"image", "image_mask"}
# The layers of the network.
_OWN_NAMES = re.compile(
    r"question|image|answers|fusion_.*"
    r"|(question|image)_(\d+_.*|embedding|lstm|mask|projection|reduction)"
)


def tokens(outputs: Any) -> Any:
    """The tokens `(B, T, E)` or `(B, rows, columns, E)`, of the outputs of an encoder.

    Args:
        outputs: tensor, or a dict with it as `"sequence_output"`.
    """
    return outputs[_OUTPUT] if isinstance(outputs, dict) else outputs


def token_mask(encoder: keras.Model, inputs: Any) -> Any:
    """The mask `(B, T)` that the layers of an encoder compute, or `None`.

    Args:
        encoder: functional keras.Model.
        inputs: symbolic inputs of it.
    """
    mask = keras_internals.token_mask(tokens(encoder.output))
    if mask is None:
        return None
    # Keras computes no masks in the symbolic call of a model.
    return keras.Model(encoder.input, mask, name="question_mask")(inputs)


def packed(encoder: keras.Model, tensor: Any) -> Any:
    """The one input of an encoder, in the structure that it has, as a dict."""
    return tree.pack_sequence_as(encoder.input, [tensor])


def check_encoders(question_encoder: Any, image_encoder: Any) -> None:
    """Raises ValueError where a network cannot be built with the encoders.

    Args:
        question_encoder: object, `None` for none.
        image_encoder: object, `None` for none.
    """
    _check_model("question_encoder", question_encoder, ranks=(3,))
    _check_model("image_encoder", image_encoder, ranks=(3, 4))
    if question_encoder is not None and len(question_encoder.inputs) > 1:
        names = [x.name for x in question_encoder.inputs]
        if _TAKEN & set(names):
            raise ValueError(
                "Argument `question_encoder` must have inputs of other names than "
                f"'image' and 'image_mask'. Received one with the inputs {names}"
            )
    if image_encoder is not None and len(image_encoder.inputs) != 1:
        names = [x.name for x in image_encoder.inputs]
        raise ValueError(
            "Argument `image_encoder` must have one input, the image. Received one "
            f"with the inputs {names}"
        )
    both = question_encoder is not None and image_encoder is not None
    if both and question_encoder.name == image_encoder.name:
        raise ValueError(
            "Arguments `question_encoder` and `image_encoder` must be two models of "
            f"different names. Received: both are named {image_encoder.name!r}"
        )


def _check_model(name, encoder, ranks):
    if encoder is None:
        return
    if not isinstance(encoder, keras.Model) or not hasattr(encoder, "input"):
        raise ValueError(
            f"Argument `{name}` must be a built functional keras.Model or None; of a "
            "built keras.Sequential pass keras.Model(model.inputs, model.outputs[0]). "
            f"Received: {name}={encoder!r}"
        )
    if _OWN_NAMES.fullmatch(encoder.name):
        raise ValueError(
            f"Argument `{name}` must have another name than layers of the network. "
            f"Received one that is named {encoder.name!r}"
        )
    _check_output(name, encoder.output, ranks)


def _check_output(name, outputs, ranks):
    if isinstance(outputs, dict) and _OUTPUT not in outputs:
        raise ValueError(
            f"Argument `{name}` must have the output {_OUTPUT!r}, or one tensor. "
            f"Received one with the outputs {sorted(outputs)}"
        )
    shape = getattr(tokens(outputs), "shape", None)
    if shape is None or len(shape) not in ranks or shape[-1] is None:
        shapes = "(B, T, E)" if ranks == (3,) else "(B, R, E) or (B, rows, columns, E)"
        raise ValueError(
            f"Argument `{name}` must have one tensor of the shape {shapes} as its "
            f"output, with a known E. Received one with the output {outputs}"
        )
