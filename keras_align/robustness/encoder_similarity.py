"""How similar texts are to an encoder of sentences."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_align.robustness.worded_text import Text


class EncoderSimilarity:
    """Cosine of the angle between the encodings of texts.

    Args:
        encode: callable from a list of str to an array `(n, E)`, as one that averages
            the outputs of a keras-hub backbone over tokens. Tuples of texts are joined.
    """

    def __init__(self, encode: Callable[[list[str]], Any]) -> None:
        self.encode = encode

    def __call__(self, text: Text, others: list[Text]) -> np.ndarray:
        """Returns the similarities `(n,)` of a text to others."""
        joined = [x if isinstance(x, str) else " ".join(x) for x in (text, *others)]
        vectors = np.asarray(self.encode(joined), "float64")
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors[1:] @ vectors[0]
