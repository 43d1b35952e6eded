"""The arguments of an export, checked before anything is written."""

import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_align import keras_internals
from keras_align.validation import checks

DTYPES = ("float32", "float16")
SAVED_MODEL = "saved_model.pb"
OF_SAVED_MODEL = {SAVED_MODEL, "fingerprint.pb", "variables", "assets"}


def checked_dtype(dtype: str) -> str:
    """The dtype, if it is one of `DTYPES`."""
    checks.choice("dtype", dtype, DTYPES)
    return dtype


def checked_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """The absolute path, unless writing there would destroy something else."""
    checks.local_folder("path", path)
    try:
        resolved = pathlib.Path(path).expanduser().resolve()
        if resolved.is_symlink():  # Python 3.13 returns it
            raise RuntimeError("Symlink loop")
        exists = resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            "Argument `path` must name a folder that can be reached. Received: "
            f"path={str(path)!r}, which raises {type(error).__name__}: {error}"
        ) from error
    if exists:
        _check_contents(resolved)
        _check_working_folder(resolved)
    return resolved


def _check_working_folder(path):
    """Raises if the working folder is inside of `path`."""
    try:
        working_folder = pathlib.Path.cwd()
    except FileNotFoundError:  # it was deleted
        return
    if path in working_folder.parents:
        raise ValueError(
            "Argument `path` must not name a folder that holds the working folder, "
            f"which would be deleted. Received: path='{path}', where the working "
            f"folder is '{working_folder}'"
        )


def _check_contents(path):
    """Raises unless `path` is an empty folder or a SavedModel alone."""
    others = [path.name]
    if path.is_dir():
        found = {each.name for each in path.iterdir()}
        is_model = SAVED_MODEL in found
        others = sorted(found - OF_SAVED_MODEL if is_model else found)
    if others:
        raise ValueError(
            "Argument `path` must name a new or empty folder, or one that holds a "
            f"SavedModel alone. Received: path='{path}' with {', '.join(others[:5])}"
        )


def checked_model(model: Any) -> keras.Model:
    """The model, if an export can find its inputs on a supported backend."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise ValueError(
            "`export_saved_model` is for the backends tensorflow and jax. Received: "
            f"backend {keras.backend.backend()}"
        )
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(
            "Argument `model` must be a built functional model. Received: "
            f"model={model!r}"
        )
    return model


def number_of_outputs(model: keras.Model) -> int:
    """The last axis of the model's only output."""
    shapes = [tuple(x.shape) for x in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] is None:
        raise ValueError(
            "Argument `model` must be a classifier with one output (batch, classes). "
            f"Received: '{model.name}' with outputs of shapes {shapes}"
        )
    return shapes[0][1]


def checked_names(class_names: Any, width: int) -> list[str] | None:
    """The class names as a list, or `None`."""
    if class_names is None:
        return None
    classes = max(width, 2)
    is_ordered = isinstance(class_names, (list, tuple, np.ndarray))
    names = list(class_names) if is_ordered else []
    if len(names) != classes or not all(isinstance(x, str) for x in names):
        names = []
    if len(set(names)) != classes:
        raise ValueError(
            f"Argument `class_names` must be a list of {classes} distinct strings, in "
            f"the order of the classes. Received: class_names={class_names!r}"
        )
    return list(map(str, names))


def checked_from_logits(from_logits: Any, model: keras.Model, width: int) -> bool:
    """Whether the outputs are logits, as the model tells if it is not given."""
    if isinstance(from_logits, bool):
        return from_logits
    activation = keras_internals.last_activation(model)
    if from_logits is None and activation is keras.activations.linear:
        return True
    if from_logits is None and activation is keras.activations.softmax:
        return False
    if from_logits is None and (activation, width) == (keras.activations.sigmoid, 1):
        return False
    name = getattr(activation, "__name__", activation)
    raise ValueError(
        "Argument `from_logits` must be a bool, as the model does not tell whether its "
        f"outputs are logits or probabilities that sum to one. Received: from_logits="
        f"{from_logits!r}, and '{model.name}' with {width} outputs ends in the "
        f"activation {name}"
    )
