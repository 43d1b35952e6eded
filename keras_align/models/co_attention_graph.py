"""The functional graph of `ModularCoAttentionNetwork`, from inputs to logits."""

from typing import Any

import keras
from keras import ops, tree

from keras_align.divergences.numerics import Tensor
from keras_align.models.co_attention import CoAttentionUnits, joined
from keras_align.models.encoders import packed, token_mask, tokens
from keras_align.models.weighted_reduction import WeightedReduction


def co_attention_graph(
    settings: dict[str, Any], dtype: Any
) -> tuple[dict[str, Any], Tensor]:
    """Returns the dict of inputs and the logits.

    Args:
        settings: dict of the arguments of `ModularCoAttentionNetwork`.
        dtype: dtype policy of all layers.
    """
    question, words, word_mask = _question(settings, dtype)
    image, regions, region_mask = _image(settings, dtype)
    inputs = {"question": question, "image": image}
    if region_mask is not None:
        inputs["image_mask"] = region_mask
    names = "hidden_dim", "num_heads", "intermediate_dim", "dropout"
    units = CoAttentionUnits(dtype=dtype, **{name: settings[name] for name in names})
    for k in range(1, settings["num_layers"] + 1):
        words = units.self_attention_unit(words, word_mask, f"question_{k}")
    for k in range(1, settings["num_layers"] + 1):
        regions = units.guided_attention_unit(
            regions, region_mask, words, word_mask, f"image_{k}"
        )
    return inputs, _answers(words, word_mask, regions, region_mask, settings, dtype)


def _question(settings, dtype):
    """The input, the words `(B, T, hidden_dim)` and their mask."""
    hidden, encoder = settings["hidden_dim"], settings["question_encoder"]
    if encoder is None:
        shape = (settings["question_length"],)
        ids = keras.Input(shape, dtype="int32", name="question")
        words = keras.layers.Embedding(
            *(settings["vocabulary_size"], settings["embedding_dim"]),
            dtype=dtype,
            name="question_embedding",
        )(ids)
        mask = ops.not_equal(ids, 0)
        lstm = keras.layers.LSTM(
            hidden, return_sequences=True, dtype=dtype, name="question_lstm"
        )
        return ids, lstm(words, mask=mask), mask
    if len(encoder.inputs) > 1:
        inputs = given = tree.map_structure(_input_like, encoder.input)
    else:
        inputs = _input_like(encoder.inputs[0], "question")
        given = packed(encoder, inputs)
    words = tokens(encoder(given))
    if isinstance(inputs, dict) and "padding_mask" in inputs:
        mask = ops.cast(inputs["padding_mask"], "bool")
    else:
        mask = token_mask(encoder, given)
    project = keras.layers.Dense(hidden, dtype=dtype, name="question_projection")
    return inputs, project(words), mask


def _image(settings, dtype):
    """The input, the regions `(B, R, hidden_dim)` and their mask."""
    encoder = settings["image_encoder"]
    if encoder is None:
        shape = settings["num_regions"], settings["image_features"]
        image = regions = keras.Input(shape, name="image")
    else:
        image = _input_like(encoder.inputs[0], "image")
        regions = tokens(encoder(packed(encoder, image)))
    if len(regions.shape) == 4:
        regions = keras.layers.Reshape((-1, regions.shape[-1]), dtype=dtype)(regions)
    mask = None
    if settings["masked_regions"]:
        mask = keras.Input((regions.shape[1],), dtype="bool", name="image_mask")
    project = keras.layers.Dense(
        settings["hidden_dim"], dtype=dtype, name="image_projection"
    )
    return image, project(regions), mask


def _input_like(tensor, name=None):
    return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name or tensor.name)


def _answers(words, word_mask, regions, region_mask, settings, dtype):
    """Logits, from the fusion of both sides: Yu et al. 2019, equation 10."""
    sides = {"question": (words, word_mask), "image": (regions, region_mask)}
    vectors = []
    for name, (side, mask) in sides.items():
        reduction = WeightedReduction(
            *(settings["hidden_dim"], settings["fusion_dim"], settings["dropout"]),
            dtype=dtype,
            name=joined(name, "reduction"),
        )
        vectors.append(reduction(side, mask=mask))
    fused = keras.layers.Add(dtype=dtype, name="fusion_add")(vectors)
    fused = keras.layers.LayerNormalization(
        epsilon=1e-6, dtype=dtype, name="fusion_norm"
    )(fused)
    return keras.layers.Dense(settings["num_answers"], dtype=dtype, name="answers")(
        fused
    )
