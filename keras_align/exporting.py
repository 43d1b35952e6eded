"""A classifier as one SavedModel, from texts to probabilities and labels."""

import functools
import pathlib
import tempfile

import keras
from keras import ops

from keras_align import checks, keras_internals
from keras_align.conversion import without_alignment

DTYPES = ("float32", "float16")


def export_saved_model(
    model,
    path,
    preprocessor=None,
    class_names=None,
    from_logits=None,
    dtype="float32",
):
    """Writes a classifier with its preprocessing as a TensorFlow SavedModel.

    It has the operations and variables of the plain model alone; `model` itself stays
    aligned, compiled and ready to be trained on. It can be served without keras and
    keras_align; if the preprocessor has operations of tensorflow-text, as those of
    keras-hub, `import tensorflow_text` before loading it. Its signatures:

    - `"serving_default"` takes `text`, strings `(batch,)`. Without a preprocessor it is
      the same as the next.
    - `"tokens"` takes the inputs of the model by their names, as `token_ids (batch,
      tokens)`: any number of samples, and of tokens where the model leaves it open.

    Both return a dict of `probabilities`, `(batch, classes)`, and `labels`, `(batch,)`,
    the most probable of `class_names`, or its int64 number without them.

    For other formats and models, export inside `keras_align.without_alignment(model)`.

    Args:
        model: built functional `keras.Model`, as those of keras-hub, aligned or plain,
            on TensorFlow or JAX. Its output is `(batch, classes)`, or `(batch, 1)` for
            the second of two classes.
        path: string or path of a folder: new, empty, or a SavedModel, which is replaced
            once the new one is complete.
        preprocessor: callable that makes the model's inputs of a string tensor
            `(batch,)`, in operations of TensorFlow. Defaults to `model.preprocessor`,
            if there is one.
        class_names: sequence of distinct strings, one for each class. Defaults to
            `None`.
        from_logits: bool, whether the outputs are logits and no probabilities. Defaults
            to what the activation of the model or of its last layer says.
        dtype: `"float32"` or `"float16"`, of floating inputs and of the probabilities,
            whatever the model computes in. Defaults to `"float32"`.

    Returns:
        `path` as a `pathlib.Path`.

    Raises:
        ValueError: if an argument does not fit the model, or `path` holds other files.

    Example:

    >>> inputs = keras.Input((None, 16), name="vectors")
    >>> x = keras_align.AlignedMultiHeadAttention(2, 8)(inputs, inputs)
    >>> x = keras.layers.GlobalAveragePooling1D()(x)
    >>> model = keras.Model(inputs, keras.layers.Dense(2)(x))
    >>> folder = keras_align.export_saved_model(
    ...     model, "served", class_names=["negative", "positive"]
    ... )
    """
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise ValueError(
            "`export_saved_model` is for the backends tensorflow and jax. Received: "
            f"backend {keras.backend.backend()}"
        )
    checks.choice("dtype", dtype, DTYPES)
    path = _checked_path(path)
    specs = _input_specs(model, dtype)
    width = _number_of_outputs(model)
    names = _checked_names(class_names, max(width, 2))
    if from_logits is None:
        from_logits = _returns_logits(model)
    preprocessor = preprocessor or getattr(model, "preprocessor", None)
    probabilities = functools.partial(_probabilities, model, from_logits, width, dtype)
    with without_alignment(model):
        archive = keras.export.ExportArchive()
        _track(archive, model, preprocessor)
        _add_signatures(archive, probabilities, specs, preprocessor, names)
        _write(archive, path)
    return path


def _checked_path(path):
    """The path, unless writing there would destroy something else."""
    path = pathlib.Path(path)
    is_model = (path / "saved_model.pb").is_file()
    if path.exists() and not is_model and (path.is_file() or any(path.iterdir())):
        raise ValueError(
            "Argument `path` must name a new or empty folder, or one that holds a "
            f"SavedModel. Received: path='{path}'"
        )
    return path


def _input_specs(model, dtype):
    """What the model takes, by name."""
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Argument `model` must be a built functional model. Received: "
            f"{type(model).__name__} '{model.name}'"
        )
    return {
        x.name: keras.InputSpec(
            shape=x.shape,
            dtype=dtype if keras.backend.is_float_dtype(x.dtype) else x.dtype,
            name=x.name,
        )
        for x in model.inputs
    }


def _number_of_outputs(model):
    """The last axis of the model's only output."""
    shapes = [tuple(x.shape) for x in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] is None:
        raise ValueError(
            "Argument `model` must be a classifier with one output (batch, classes). "
            f"Received: '{model.name}' with outputs of shapes {shapes}"
        )
    return shapes[0][1]


def _checked_names(class_names, classes):
    """The class names as a list, or `None`."""
    if class_names is None:
        return None
    fits = not isinstance(class_names, str) and len(class_names) == classes
    names = list(class_names) if fits else []
    if not all(isinstance(x, str) for x in names) or len(set(names)) != classes:
        raise ValueError(
            f"Argument `class_names` must be {classes} distinct strings, one for each "
            f"class of the model. Received: class_names={class_names!r}"
        )
    return names


def _returns_logits(model):
    """Whether the activation at the end of a model is none."""
    last = model if hasattr(model, "activation") else model.layers[-1]
    activation = getattr(last, "activation", None)
    if activation is keras.activations.linear:
        return True
    if activation in (keras.activations.softmax, keras.activations.sigmoid):
        return False
    raise ValueError(
        "Argument `from_logits` must be given, as the model does not tell. Received: "
        f"from_logits=None, and '{model.name}' ends in {last!r}"
    )


def _probabilities(model, from_logits, width, dtype, inputs):
    """Probabilities `(batch, classes)` of the classes."""
    structure = [inputs[name] for name in (x.name for x in model.inputs)]
    outputs = model(keras.tree.pack_sequence_as(model.input, structure), training=False)
    outputs = ops.cast(outputs, "float32")
    if width == 1:
        outputs = ops.sigmoid(outputs) if from_logits else outputs
        outputs = ops.concatenate([1.0 - outputs, outputs], axis=-1)
    elif from_logits:
        outputs = ops.softmax(outputs)
    return {"probabilities": ops.cast(outputs, dtype)}


def _track(archive, model, preprocessor):
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


def _add_signatures(archive, probabilities, specs, preprocessor, names):
    """Adds "serving_default" and "tokens" to an `ExportArchive`."""
    import tensorflow as tf

    if keras.backend.backend() == "jax":
        specs = _with_known_lengths(specs, preprocessor)
        probabilities = archive.add_endpoint("probabilities", probabilities, [specs])
    specs = {
        name: tf.TensorSpec(spec.shape, spec.dtype, name)
        for name, spec in specs.items()
    }

    def from_tokens(inputs):
        found = probabilities(inputs)["probabilities"]
        labels = tf.argmax(found, axis=-1)
        labels = labels if names is None else tf.gather(tf.constant(names), labels)
        return {"probabilities": found, "labels": labels}

    def from_text(text):
        inputs = _named(preprocessor(text), specs)
        return from_tokens(
            {name: tf.cast(inputs[name], spec.dtype) for name, spec in specs.items()}
        )

    tokens, default = _traced(from_tokens, specs), None
    if preprocessor is not None:
        default = _traced(from_text, tf.TensorSpec([None], tf.string, "text"))
    archive.add_endpoint("serving_default", default or tokens)
    archive.add_endpoint("tokens", tokens)


def _named(inputs, specs):
    """What a preprocessor returned as the inputs of the model by their names."""
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

    made = _named(preprocessor(tf.constant([""])), specs)
    return {
        name: keras.InputSpec(
            shape=(None, *made[name].shape[1:]), dtype=spec.dtype, name=name
        )
        for name, spec in specs.items()
    }


def _write(archive, path):
    """Writes a SavedModel, and puts it in its place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".incomplete-") as folder:
        new, old = pathlib.Path(folder, "new"), pathlib.Path(folder, "old")
        archive.write_out(str(new), verbose=False)
        if path.exists():
            path.rename(old)
        new.rename(path)
