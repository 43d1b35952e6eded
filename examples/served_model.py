"""An exported classifier of texts, checked before it is served.

The folder holds `saved_model/`, whose signature "serving_default" takes `text`, strings
of shape (batch,), and returns `probabilities` of shape (batch, classes) and `labels` of
shape (batch,); and `metadata.json`, with the `class_names`.
"""

import json
import math
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SIGNATURE = "serving_default"


class ExportError(Exception):
    """What an exported folder lacks."""


class BadOutput(Exception):
    """The model gave numbers that are no probabilities, or not those of its label."""


class ServedModel:
    """Loads the model of a folder and calls it once."""

    def __init__(self, folder):
        self.metadata = read_metadata(folder)
        self.class_names = self.metadata["class_names"]
        self._loaded = load(folder / "saved_model")
        self._signature = checked_signature(self._loaded)
        self._check_outputs()

    def predict(self, texts):
        """Returns a pair of label and probabilities for each text.

        Args:
            texts: List of bytes, in UTF-8.
        """
        import tensorflow as tf

        outputs = self._signature(text=tf.constant(texts, tf.string))
        labels = [label.decode("utf-8") for label in outputs["labels"].numpy().tolist()]
        rows = outputs["probabilities"].numpy().tolist()
        return list(zip(labels, rows, strict=True))

    def predictions(self, rows):
        """What the server answers for the rows of a request."""
        found = []
        for index, (label, probabilities) in enumerate(rows):
            if not all(map(math.isfinite, probabilities)):
                raise BadOutput(f"the probabilities of texts[{index}] are not finite")
            named = dict(zip(self.class_names, probabilities, strict=True))
            if named.get(label) != max(probabilities):  # of equal ones, any is right
                most = max(named, key=named.get)
                raise BadOutput(
                    f"the label of texts[{index}] is {label!r}, but {most!r} of "
                    f"class_names in metadata.json has the largest probability"
                )
            found.append({"label": label, "probabilities": named})
        return found

    def _check_outputs(self):
        classes = len(self.class_names)
        try:
            rows = self.predict([b""])
        except Exception as error:
            raise ExportError(
                f"the model fails on an empty text: {line(error)}"
            ) from error
        ((_, probabilities),) = rows
        if len(probabilities) != classes:
            raise ExportError(
                f"the model gives {len(probabilities)} probabilities, but "
                f"class_names in metadata.json has {classes} names"
            )
        try:
            self.predictions(rows)
        except BadOutput as error:
            raise ExportError(f"of an empty text, {error}") from error


def read_metadata(folder):
    """Returns what `metadata.json` holds."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder, an exported model is expected")
    file = folder / "metadata.json"
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{file} cannot be read: {line(error)}") from error
    names = metadata.get("class_names") if isinstance(metadata, dict) else None
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not names or len(set(names)) != len(names):
        raise ExportError(f"{file} needs class_names, a list of different strings")
    return metadata


def load(folder):
    """Returns what a SavedModel holds."""
    if not (folder / "saved_model.pb").is_file():
        raise ExportError(f"{folder} is not a SavedModel: it has no saved_model.pb")
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the operations of the tokenizer)

    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:
        raise ExportError(f"{folder} cannot be loaded: {line(error)}") from error


def checked_signature(loaded):
    """Returns the signature that is served."""
    if SIGNATURE not in loaded.signatures:
        found = ", ".join(loaded.signatures) or "none"
        raise ExportError(f"signature {SIGNATURE} is expected, the model has {found}")
    signature = loaded.signatures[SIGNATURE]
    inputs = described(signature.structured_input_signature[1])
    if inputs != {"text": ("string", 1)}:
        raise ExportError(f"input text, string (batch,), is expected, it is {inputs}")
    outputs = described(signature.structured_outputs)
    expected = {"probabilities": ("float32", 2), "labels": ("string", 1)}
    if {name: outputs.get(name) for name in expected} != expected:
        raise ExportError(f"outputs {expected} are expected, they are {outputs}")
    return signature


def described(specs):
    """Types and ranks of tensors by their names."""
    return {name: (spec.dtype.name, spec.shape.rank) for name, spec in specs.items()}


def line(error, length=300):
    """What an error says, in one line."""
    return " ".join(str(error).split())[:length] or type(error).__name__
