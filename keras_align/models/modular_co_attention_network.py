"""The modular co-attention network of Yu et al. for questions about images."""

from typing import Any

import keras
import numpy as np

from keras_align.models.co_attention_graph import co_attention_graph
from keras_align.models.encoders import check_encoders
from keras_align.models.single_layers import (
    with_single_layers,
    without_single_layers,
)
from keras_align.validation import checks

_SETTINGS = (
    *("num_answers", "vocabulary_size", "image_features", "question_length"),
    *("num_regions", "num_layers", "hidden_dim", "num_heads", "intermediate_dim"),
    *("fusion_dim", "embedding_dim", "dropout", "masked_regions"),
    *("question_encoder", "image_encoder"),
)
_ENCODERS = ("question_encoder", "image_encoder")


@keras.saving.register_keras_serializable(package="keras_align")
class ModularCoAttentionNetwork(keras.Model):
    """Answers questions about images by co-attention (MCAN).

    The words of the question attend to each other in `num_layers` units; the regions of
    the image then attend to each other and to the words of the last of these. Each side
    is reduced to a vector by weights that are learned, and the sum of both gives the
    logits of the answers. All attention is `keras.layers.MultiHeadAttention`: for
    alignment attention call `keras_align.align_model`. Sizes are by default those of
    the paper, for 100 regions of 2,048 features and 14 words.

    Source: Yu et al., "Deep Modular Co-Attention Networks for Visual Question
    Answering", CVPR 2019, sections 3 and 4 (encoder-decoder). Differences: words have
    an embedding of their own, where the paper starts from GloVe.

    Args:
        num_answers: int, `C`.
        vocabulary_size: int, number of token ids, 0 for padding. `None` with a
            `question_encoder`.
        image_features: int, features of a region, `D`. Defaults to `2048`.
        question_length: int or `None` for any length, `T`. Defaults to `None`.
        num_regions: int or `None` for any number, `R`. Defaults to `None`.
        num_layers: int, units of each side. Defaults to `4`, as in "Alignment
            Attention"; Yu et al. have 6.
        hidden_dim: int, a multiple of `num_heads`. Defaults to `512`.
        num_heads: int. Defaults to `8`.
        intermediate_dim: int, of the feed-forward networks. Defaults to `2048`.
        fusion_dim: int, of the vectors that are summed. Defaults to `1024`.
        embedding_dim: int, of the words. Defaults to `300`.
        dropout: float in [0, 1), also of attention weights. Defaults to `0.1`.
        masked_regions: bool, whether the inputs have `"image_mask"`. Defaults to
            `False`.
        question_encoder: built functional `keras.Model` for `"question"`, as a backbone
            of keras-hub, in the place of embedding and LSTM. Its outputs are
            `(B, T, E)`, or a dict with these as `"sequence_output"`; padding is where
            its input `"padding_mask"` is 0, or else where the mask of its outputs is,
            as of an embedding with `mask_zero`; not one inside of a model that the
            encoder holds. Defaults to `None`.
        image_encoder: built functional `keras.Model` for `"image"`, `(B, height, width,
            channels)`, with outputs `(B, R, D)` or `(B, rows, columns, D)`, or a dict
            with these as `"sequence_output"`, as a backbone of keras-hub or
            `patch_encoder`. Defaults to `None`: `"image"` are features of regions.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: dict of `"question"`, int `(B, T)`, or the inputs of the encoder, and
            `"image"`, float `(B, R, D)`, or the input of the encoder; with
            `masked_regions` also `"image_mask"`, boolean `(B, R)`. A question without
            words, and an image whose regions are all masked, add nothing that depends
            on their padding; so their answer is that of the other side.

    Returns:
        `(B, C)`, logits.

    Example:

    >>> network = keras_align.models.ModularCoAttentionNetwork(
    ...     num_answers=5, vocabulary_size=20, image_features=16, num_layers=1,
    ...     hidden_dim=32, num_heads=2, intermediate_dim=64, fusion_dim=32,
    ... )
    >>> _ = keras_align.align_model(network, "gan")
    >>> question = np.array([[3, 7, 2, 0]])  # 0 is padding
    >>> inputs = {"question": question, "image": np.ones((1, 9, 16))}
    >>> network.predict(inputs, verbose=0).shape
    (1, 5)
    """

    def __init__(
        self,
        num_answers: int,
        vocabulary_size: int | None = None,
        image_features: int | None = 2048,
        question_length: int | None = None,
        num_regions: int | None = None,
        num_layers: int = 4,
        hidden_dim: int = 512,
        num_heads: int = 8,
        intermediate_dim: int = 2048,
        fusion_dim: int = 1024,
        embedding_dim: int = 300,
        dropout: float = 0.1,
        masked_regions: bool = False,
        question_encoder: keras.Model | None = None,
        image_encoder: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        values = (
            *(num_answers, vocabulary_size, image_features, question_length),
            *(num_regions, num_layers, hidden_dim, num_heads, intermediate_dim),
            *(fusion_dim, embedding_dim, dropout, masked_regions),
            *(question_encoder, image_encoder),
        )
        # Keras takes no NumPy scalars, nor can JSON hold them.
        plain = (x.item() if isinstance(x, np.generic) else x for x in values)
        settings = dict(zip(_SETTINGS, plain, strict=True))
        _check(settings)
        checks.keras_arguments("ModularCoAttentionNetwork", kwargs)
        policy = keras.dtype_policies.get(kwargs.get("dtype"))
        inputs, outputs = co_attention_graph(settings, policy)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self._settings, self._policy = settings, policy
        self._keys = sorted(inputs)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        # Keras would take other keys in the order of their names.
        if not isinstance(inputs, dict) or sorted(inputs) != self._keys:
            given = sorted(inputs) if isinstance(inputs, dict) else type(inputs)
            raise ValueError(
                f"Argument `inputs` must be a dict with the keys {self._keys}; "
                f"'image_mask' needs `masked_regions=True`. Received: {given}"
            )
        return super().call(inputs, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        settings = dict(self._settings)
        for name in _ENCODERS:
            settings[name] = keras.saving.serialize_keras_object(settings[name])
        own = {"name": self.name, "trainable": self.trainable}
        # A functional model has a policy of its own, always float32.
        return with_single_layers(
            {**settings, **own}, self, self._policy, self._encoders()
        )

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        arguments, freeze = without_single_layers(config)
        for name in _ENCODERS:
            arguments[name] = keras.saving.deserialize_keras_object(
                arguments.get(name), custom_objects=custom_objects
            )
        network = cls(**arguments)
        freeze(network, network._encoders())
        return network

    def _encoders(self):
        return [self._settings[name] for name in _ENCODERS]


def _check(settings):
    """Raises for settings that are wrong, alone or together."""
    sizes = "num_answers", "num_layers", "hidden_dim", "num_heads"
    for name in (*sizes, "intermediate_dim", "fusion_dim", "embedding_dim"):
        checks.positive_integer(name, settings[name])
    for name in ("question_length", "num_regions"):
        if settings[name] is not None:
            checks.positive_integer(name, settings[name])
    checks.dropout_rate("dropout", settings["dropout"])
    if settings["hidden_dim"] % settings["num_heads"]:
        raise ValueError(
            "Argument `hidden_dim` must be a multiple of `num_heads`. Received: "
            f"hidden_dim={settings['hidden_dim']}, num_heads={settings['num_heads']}"
        )
    check_encoders(**{name: settings[name] for name in _ENCODERS})
    if settings["image_encoder"] is None:
        checks.positive_integer("image_features", settings["image_features"])
    given = settings["vocabulary_size"], settings["question_encoder"]
    if (given[0] is None) == (given[1] is None):
        raise ValueError(
            "One of the arguments `vocabulary_size` and `question_encoder` must be "
            f"given. Received: vocabulary_size={given[0]}, question_encoder={given[1]}"
        )
    if given[1] is None:
        checks.positive_integer("vocabulary_size", given[0])
