"""How similar texts are to an encoder of sentences."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align.robustness import small_batches
from keras_align.robustness.worded_text import Text
from keras_align.validation import checks


class EncoderSimilarity:
    """Cosine of the angle between the encodings of texts.

    Args:
        encode: callable from a list of str to an array `(n, E)`. Tuples of texts are
            joined. For a backbone of keras-hub see `from_backbone`.
    """

    def __init__(self, encode: Callable[[list[str]], Any]) -> None:
        self.encode = encode

    def __call__(self, text: Text, others: list[Text]) -> np.ndarray:
        """Returns the similarities `(n,)` of a text to others."""
        joined = [x if isinstance(x, str) else " ".join(x) for x in (text, *others)]
        vectors = ops.convert_to_numpy(self.encode(joined)).astype("float64")
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors = vectors / np.maximum(norms, 1e-12)
        return vectors[1:] @ vectors[0]

    @classmethod
    def from_backbone(
        cls, backbone: keras.Model, preprocessor: Callable, batch_size: int = 32
    ) -> "EncoderSimilarity":
        """That of the mean outputs of a backbone over the tokens of a text.

        Args:
            backbone: backbone of keras-hub with an input `"padding_mask"` `(B, T)` and
                an output, or an output `"sequence_output"`, `(B, T, E)`; a sentence
                encoder means more than a language model.
            preprocessor: callable from a list of str to the inputs of the backbone.
            batch_size: int. Defaults to `32`.
        """
        checks.positive_integer("batch_size", batch_size)
        inputs = backbone.input
        if not isinstance(inputs, dict) or "padding_mask" not in inputs:
            raise ValueError(
                'Argument `backbone` must have an input "padding_mask" of the shape '
                f"(B, T). Received: {backbone.name} with {inputs}"
            )
        outputs = backbone.output
        tokens = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
        if len(tokens.shape) != 3:
            raise ValueError(
                "Argument `backbone` must have outputs of the shape (B, T, E). "
                f"Received: {backbone.name} with {tokens.shape}"
            )
        mask = ops.expand_dims(ops.cast(inputs["padding_mask"], "float32"), -1)
        total = ops.sum(ops.cast(tokens, "float32") * mask, axis=1)
        mean = total / ops.maximum(ops.sum(mask, axis=1), 1.0)
        network = keras.Model(inputs, mean)

        def encode(texts):
            batches = small_batches.in_batches(texts, batch_size)
            arrays = (small_batches.arrays(preprocessor(each)) for each in batches)
            cut = map(small_batches.cut_padding, arrays)
            found = [network.predict_on_batch(each) for each in cut]
            return np.concatenate(found)[: len(texts)]

        return cls(encode)
