"""An exported classifier of texts, checked before it answers.

The folder holds `saved_model/`, whose signature "serving_default" takes `text`, strings
of shape (batch,), and returns `probabilities` of shape (batch, classes) and `labels` of
shape (batch,); and `metadata.json`, with the `class_names`.
"""

import json
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

SIGNATURE = "serving_default"


class ExportError(Exception):
    """What an exported folder lacks."""


class ServedModel:
    """Loads the model of a folder and has it answer an empty text.

    Args:
        folder: A `pathlib.Path`.
    """

    def __init__(self, folder: pathlib.Path):
        self.metadata = read_metadata(folder)
        self.class_names = self.metadata["class_names"]
        self._loaded = load(folder / "saved_model")
        self.signature = checked_signature(self._loaded)
        try:
            self.predict([""])
        except Exception as error:
            message = f"the model fails on an empty text: {line(error)}"
            raise ExportError(message) from error

    def predict(self, texts: list[str]) -> list[dict]:
        """Returns the label and the named probabilities of each text."""
        import tensorflow as tf

        outputs = self.signature(text=tf.constant(texts, tf.string))
        labels = [label.decode("utf-8") for label in outputs["labels"].numpy()]
        rows = outputs["probabilities"].numpy()
        if rows.shape != (len(texts), len(self.class_names)):
            raise ValueError(
                f"class_names in metadata.json has {len(self.class_names)} names. "
                f"Received: probabilities of shape {rows.shape}"
            )
        return [self._named(*pair) for pair in zip(labels, rows.tolist(), strict=True)]

    def _named(self, label, row):
        found = dict(zip(self.class_names, row, strict=True))
        largest = [name for name, value in found.items() if value == max(row)]
        if not 0 <= sum(row) < 2 or label not in largest:  # of equal ones, any is right
            raise ValueError(
                f"Expected the label of the largest probability, by class_names in "
                f"metadata.json. Received: label={label!r}, probabilities={found}"
            )
        return {"label": label, "probabilities": found}


def read_metadata(folder):
    """Returns what `metadata.json` holds."""
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
    quiet_tensorflow.load()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the operations of the tokenizer)

    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:
        raise ExportError(f"{folder} cannot be loaded: {line(error)}") from error


def checked_signature(loaded):
    """Returns the signature that takes texts."""
    if SIGNATURE not in loaded.signatures:
        found = ", ".join(loaded.signatures) or "none"
        raise ExportError(f"signature {SIGNATURE} is expected, the model has {found}")
    signature = loaded.signatures[SIGNATURE]
    inputs = described(signature.structured_input_signature[1])
    outputs = described(signature.structured_outputs)
    if inputs != {"text": ("string", 1)}:
        raise ExportError(f"input text, string (batch,), is expected, it is {inputs}")
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
