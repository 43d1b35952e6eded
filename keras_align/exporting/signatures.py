"""What an exported classifier can be asked."""

import dataclasses
import os
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.divergences.numerics import Tensor


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model, and how its outputs become probabilities and labels.

    Attributes:
        model: functional `keras.Model` with one output `(batch, width)`.
        width: int; 1 is the second of two classes.
        from_logits: bool.
        dtype: string, of floating inputs and of the probabilities.
        class_names: list of strings or `None`.
    """

    model: keras.Model
    width: int
    from_logits: bool
    dtype: str
    class_names: list[str] | None

    @property
    def specs(self) -> dict[str, keras.InputSpec]:
        """What the model takes, by name."""
        return {
            x.name: keras.InputSpec(shape=x.shape, dtype=self._type(x), name=x.name)
            for x in self.model.inputs
        }

    def _type(self, x):
        return self.dtype if keras.backend.is_float_dtype(x.dtype) else x.dtype

    def probabilities(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """float32 probabilities `(batch, classes)` in a dict, as an endpoint wants."""
        values = [inputs[x.name] for x in self.model.inputs]
        if isinstance(self.model, keras.Sequential):
            (values,) = values
        else:
            values = keras.tree.pack_sequence_as(self.model.input, values)
        (outputs,) = keras.tree.flatten(self.model(values, training=False))
        outputs = ops.cast(outputs, "float32")
        if self.width == 1:
            other = ops.zeros_like(outputs) if self.from_logits else 1.0 - outputs
            outputs = ops.concatenate([other, outputs], axis=-1)
        if self.from_logits:
            outputs = ops.softmax(outputs)
        return {"probabilities": outputs}

    def answer(self, probabilities: Tensor) -> dict[str, Tensor]:
        """What a signature returns, in operations of TensorFlow."""
        import tensorflow as tf

        labels = tf.argmax(probabilities, axis=-1)
        if self.class_names is not None:
            labels = tf.gather(tf.constant(self.class_names), labels)
        return {"probabilities": tf.cast(probabilities, self.dtype), "labels": labels}


def track(archive: Any, model: keras.Model, preprocessor: Any) -> None:
    """Tells an `ExportArchive` of what it does not find itself.

    On TensorFlow it finds the variables, and would write what it is told of twice.
    """
    import tensorflow as tf

    if keras.backend.backend() == "jax":
        archive.track(model)
    tables = tf.Module, tf.saved_model.experimental.TrackableResource
    if isinstance(preprocessor, keras.layers.Layer):
        for layer in keras_internals.flattened(preprocessor):
            for value in vars(layer).values():
                if isinstance(value, tables):
                    archive.track(value)  # of the words of a tokenizer


def add(archive: Any, classifier: Classifier, preprocessor: Any) -> None:
    """Adds "serving_default" and "tokens" to an `ExportArchive`."""
    import tensorflow as tf

    specs, compute = classifier.specs, classifier.probabilities
    if keras.backend.backend() == "jax":
        specs = _with_known_lengths(specs, preprocessor)
        compute = archive.add_endpoint("probabilities", compute, [specs])
    specs = {
        name: tf.TensorSpec(spec.shape, spec.dtype, name)
        for name, spec in specs.items()
    }

    def from_tokens(inputs):
        return classifier.answer(compute(inputs)["probabilities"])

    def from_text(text):
        inputs = _preprocessed(preprocessor, text, specs)
        return from_tokens(
            {name: tf.cast(inputs[name], spec.dtype) for name, spec in specs.items()}
        )

    tokens, default = _traced(from_tokens, specs), None
    if preprocessor is not None:
        default = _traced(from_text, tf.TensorSpec([None], tf.string, "text"))
    archive.add_endpoint("serving_default", default or tokens)
    archive.add_endpoint("tokens", tokens)


def write(archive: Any, path: str | os.PathLike) -> None:
    """Writes a SavedModel."""
    try:
        archive.write_out(str(path), verbose=False)
    except AssertionError as error:
        if "untracked" not in str(error):
            raise
        raise ValueError(
            "Argument `preprocessor` must be a keras.layers.Layer if it has tables of "
            "words, and hold them, or the layers that have them, as attributes. "
            f"Received: what TensorFlow cannot find: {str(error).splitlines()[-2:]}"
        ) from error


def _preprocessed(preprocessor, text, specs):
    """What a preprocessor makes of texts, by the names of the model's inputs."""
    try:
        inputs = preprocessor(text)
    except Exception as error:
        raise ValueError(
            "Argument `preprocessor` must take strings (batch,), in operations of "
            "TensorFlow; with preprocessor=False the model is exported without one. "
            f"Received: preprocessor={preprocessor!r}, which raises "
            f"{type(error).__name__}: {str(error)[:300]}"
        ) from error
    if not isinstance(inputs, dict) and len(specs) == 1:
        inputs = {next(iter(specs)): inputs}
    if not isinstance(inputs, dict) or not set(specs) <= set(inputs):
        raise ValueError(
            f"Argument `preprocessor` must return the inputs of the model, {[*specs]}. "
            f"Received: {sorted(inputs) if isinstance(inputs, dict) else inputs}"
        )
    return inputs


def _traced(function, spec):
    import tensorflow as tf

    function = tf.function(function, input_signature=[spec], autograph=False)
    function.get_concrete_function()
    return function


def _with_known_lengths(specs, preprocessor):
    """Specs with the lengths that the preprocessor makes of any text.

    JAX compares lengths while it compiles, as with the number of positions.
    """
    if preprocessor is None:
        return specs
    import tensorflow as tf

    made = _preprocessed(preprocessor, tf.constant([""]), specs)
    return {
        name: keras.InputSpec(
            shape=(None, *made[name].shape[1:]), dtype=spec.dtype, name=name
        )
        for name, spec in specs.items()
    }
