"""A Keras text classifier as attacks call it."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align.robustness import small_batches
from keras_align.robustness.worded_text import Text
from keras_align.validation import checks


class KerasModelWrapper:
    """Calls a Keras classifier with lists of texts; for TextAttack, too.

    TextAttack's own wrapper of Keras models passes bags of words. Batches have few
    sizes and lengths, so that little is compiled: the last is filled up to a power of
    two, and padding that a preprocessor adds with a `"padding_mask"`, as those of
    keras-hub, is cut behind the longest text if the model takes any length.

    Args:
        model: `keras.Model` with logits or probabilities `(B, C)`, as a text classifier
            of keras-hub with its preprocessor.
        preprocessor: callable from a list of texts, or for pairs a tuple of two lists,
            to inputs of the model. Defaults to `None`: that of a model of keras-hub;
            any other model takes texts.
        from_logits: bool, whether the model gives logits. Defaults to `True`, as
            keras-hub's classifiers do.
        batch_size: int. Defaults to `32`.

    Example:

    >>> words = keras.layers.TextVectorization(vocabulary=["good", "bad"])
    >>> model = keras.Sequential([keras.layers.Embedding(4, 2),
    ...     keras.layers.GlobalAveragePooling1D()])
    >>> wrapper = keras_align.robustness.KerasModelWrapper(model, words)
    >>> wrapper(["A good film.", "A bad film."]).shape
    (2, 2)
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessor: Callable[[Any], Any] | None = None,
        from_logits: bool = True,
        batch_size: int = 32,
    ) -> None:
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"Argument `model` must be a keras.Model. Received: model={model!r}"
            )
        checks.positive_integer("batch_size", batch_size)
        self.model = model
        own = getattr(model, "preprocessor", None)
        if own is not None and model.built and hasattr(model, "input"):
            preprocessor = preprocessor or own
            self.model = keras.Model(model.input, model.output)
        self.preprocessor = _without_labels(preprocessor)
        self._cuts = small_batches.takes_any_length(self.model)
        self.from_logits, self.batch_size = from_logits, batch_size

    def __call__(self, texts: list[Text]) -> np.ndarray:
        """Returns the probabilities `(n, C)` of texts, or of tuples of them."""
        single = isinstance(texts, str)
        texts = [] if single else list(texts)
        parts = {0 if isinstance(x, str) else len(x) for x in texts if is_text(x)}
        if len(parts) != 1 or not all(map(is_text, texts)):
            raise ValueError(
                "Argument `texts` must be a list of str, or of tuples of equally many, "
                f"one or more. Received: texts={texts!r:.80}"
            )
        batches = small_batches.in_batches(texts, self.batch_size)
        found = [self._probabilities(batch) for batch in batches]
        return np.concatenate(found)[: len(texts)]

    def _probabilities(self, texts):
        inputs = texts
        if not isinstance(texts[0], str):
            inputs = tuple(map(list, zip(*texts, strict=True)))
        if self.preprocessor is None:
            pair = isinstance(inputs, tuple)
            inputs = tuple(map(np.array, inputs)) if pair else np.array(inputs)
        else:
            inputs = small_batches.arrays(self.preprocessor(inputs))
        if self._cuts:
            inputs = small_batches.cut_padding(inputs)
        outputs = np.asarray(self.model.predict_on_batch(inputs), "float32")
        if outputs.ndim != 2 or outputs.shape[-1] < 2:
            raise ValueError(
                "Argument `model` must return logits or probabilities of the shape "
                f"(B, C), C > 1. Received outputs of the shape {outputs.shape}"
            )
        if not self.from_logits:
            return outputs
        return ops.convert_to_numpy(ops.softmax(outputs, axis=-1))


def _without_labels(preprocessor):
    """The preprocessor, which would take a pair alone for texts and labels."""
    call = getattr(preprocessor, "call", preprocessor)
    takes_labels = callable(call) and "y" in inspect.signature(call).parameters
    return (lambda texts: preprocessor(texts, None)) if takes_labels else preprocessor


def is_text(text: Any) -> bool:
    """Whether something is a str, or a tuple or list of them, one or more."""
    if isinstance(text, tuple | list):
        return bool(text) and all(isinstance(each, str) for each in text)
    return isinstance(text, str)
