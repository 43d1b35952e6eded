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
    """Loads the model of a folder and calls it once with each size that it pads to.

    Args:
        folder: A `pathlib.Path`.
        batch_size: Most texts of which a batch is padded.
        pad: "yes", "no" or "auto": whether empty texts fill batches up to the next
            power of two. "auto" does so for what compiles for each size anew, as
            exports of JAX do; others would only compute more.
    """

    def __init__(self, folder, batch_size=1, pad="auto"):
        self.metadata = read_metadata(folder)
        self.class_names = self.metadata["class_names"]
        self._loaded = load(folder / "saved_model")
        self._signature = checked_signature(self._loaded)
        compiled = pad == "auto" and compiles_by_size(self._signature)
        self.sizes = sizes_up_to(batch_size) if pad == "yes" or compiled else []
        self._check_outputs()

    def predict(self, texts):
        """Returns a pair of label and probabilities for each text.

        Args:
            texts: List of bytes, in UTF-8.
        """
        import tensorflow as tf

        size = next((size for size in self.sizes if size >= len(texts)), len(texts))
        padded = texts + [b""] * (size - len(texts))
        outputs = self._signature(text=tf.constant(padded, tf.string))
        labels = [label.decode("utf-8") for label in outputs["labels"].numpy().tolist()]
        rows = outputs["probabilities"].numpy().tolist()
        return list(zip(labels, rows, strict=True))[: len(texts)]

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
            for size in self.sizes or [1]:
                rows = self.predict([b""] * size)
        except Exception as error:
            raise ExportError(
                f"the model fails on an empty text: {line(error)}"
            ) from error
        _, probabilities = rows[0]
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


def compiles_by_size(signature):
    """Whether XLA compiles a part of it, which JAX exported, for each size anew."""
    graph = signature.graph.as_graph_def()
    parts = [graph.node, *(each.node_def for each in graph.library.function)]
    return any(node.op == "XlaCallModule" for part in parts for node in part)


def sizes_up_to(most):
    """The powers of two below the largest size, and that."""
    return [1 << power for power in range((most - 1).bit_length())] + [most]


def described(specs):
    """Types and ranks of tensors by their names."""
    return {name: (spec.dtype.name, spec.shape.rank) for name, spec in specs.items()}


def line(error, length=300):
    """What an error says, in one line."""
    return " ".join(str(error).split())[:length] or type(error).__name__
