"""A classifier as one SavedModel, from texts to probabilities and labels."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Literal

import keras

from keras_align.conversion import without_alignment
from keras_align.exporting import arguments, signatures
from keras_align.exporting.folder import replacing


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    preprocessor: Callable | Literal[False] | None = None,
    class_names: Sequence[str] | None = None,
    from_logits: bool | None = None,
    dtype: str = "float32",
) -> pathlib.Path:
    """Writes a classifier with its preprocessing as a TensorFlow SavedModel.

    It has the operations and variables of the plain model alone; `model` itself stays
    aligned, compiled and ready to be trained on. It can be served without keras and
    keras_align; if the preprocessor has operations of tensorflow-text, as those of
    keras-hub, `import tensorflow_text` before loading it. Its signatures:

    - `"serving_default"` takes `text`, strings `(batch,)`. Without a preprocessor it is
      the same as the next.
    - `"tokens"` takes the inputs of the model by their names, as `token_ids (batch,
      tokens)`, with any number of samples and tokens where the model leaves it open.

    Both return a dict of `probabilities`, `(batch, classes)`, and `labels`, `(batch,)`,
    the most probable of `class_names`, or its int64 number without them.

    On JAX there must be at least one sample, tokens are as many as the preprocessor
    makes, and a third signature, `"probabilities"`, is what the others call.

    For other formats and models, export inside `keras_align.without_alignment(model)`.

    Args:
        model: built functional `keras.Model`, as those of keras-hub, or `Sequential`,
            aligned or plain, on TensorFlow or JAX. Its output is `(batch, classes)`, or
            `(batch, 1)` for the second of two classes.
        path: string or path of a local folder: new, empty, or a SavedModel, which is
            replaced once the new one is complete. It may be the working folder.
        preprocessor: callable that makes the model's inputs of a string tensor
            `(batch,)`, one text a sample, in operations of TensorFlow; a
            `keras.layers.Layer` if it has tables of words. `None` is
            `model.preprocessor`, if there is one, and `False` is none.
        class_names: list, tuple or array of distinct strings, in the order of the
            classes. Defaults to `None`.
        from_logits: bool, whether the outputs are logits and no probabilities. Defaults
            to what the activation says that the output comes from.
        dtype: `"float32"` or `"float16"`, of floating inputs and of the probabilities,
            whatever the model computes in. Defaults to `"float32"`.

    Returns:
        `path` as an absolute `pathlib.Path`.

    Raises:
        ValueError: if an argument does not fit the model, or `path` holds other files
            or the working folder, or cannot be written.

    Example:

    >>> inputs = keras.Input((None, 16), name="vectors")
    >>> x = keras_align.AlignedMultiHeadAttention(2, 8)(inputs, inputs)
    >>> x = keras.layers.GlobalAveragePooling1D()(x)
    >>> model = keras.Model(inputs, keras.layers.Dense(2)(x))
    >>> folder = keras_align.export_saved_model(
    ...     model, "served", class_names=["negative", "positive"]
    ... )
    """
    width = arguments.number_of_outputs(arguments.checked_model(model))
    classifier = signatures.Classifier(
        model=model,
        width=width,
        from_logits=arguments.checked_from_logits(from_logits, model, width),
        dtype=arguments.checked_dtype(dtype),
        class_names=arguments.checked_names(class_names, width),
    )
    folder = arguments.checked_path(path)
    if preprocessor is None:
        preprocessor = getattr(model, "preprocessor", None)
    with without_alignment(model), replacing(folder, arguments.SAVED_MODEL) as new:
        archive = keras.export.ExportArchive()
        signatures.track(archive, model, preprocessor)
        signatures.add(archive, classifier, preprocessor or None)
        signatures.write(archive, new)
    return folder
