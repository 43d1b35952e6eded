"""The variables that a run of training consists of."""

import pathlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals


def prepare(model: keras.Model) -> tuple[str, ...]:
    """Builds what `fit` would build later; returns the names of the variables."""
    if not model.built:
        raise ValueError(
            f"BackupAndResume: '{model.name}' must be built before `fit`. Call it "
            "once on data."
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return tuple(variables(model))


def variables(model: keras.Model, with_metrics: bool = False) -> dict[str, Any]:
    """The variables of a model, its optimizers and metrics, by group and index."""
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    groups["seed"] = [keras_internals.global_seed()]
    if with_metrics:
        groups["metrics"] = model.metrics_variables
    for number, (name, optimizer) in enumerate(_more_optimizers(model)):
        groups[f"{name}.{number}"] = optimizer.variables
    return {
        f"{group}/{index}": variable
        for group, members in groups.items()
        for index, variable in enumerate(members)
    }


def _more_optimizers(model):
    """Names and optimizers that the model or a layer has besides `optimizer`."""
    seen = {id(model.optimizer)}
    for layer in keras_internals.flattened(model):
        for name, value in vars(layer).items():
            for each in _members(value):
                if (
                    isinstance(each, keras.optimizers.Optimizer)
                    and id(each) not in seen
                ):
                    seen.add(id(each))
                    yield name, each


def _members(value):
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def values(model: keras.Model, with_metrics: bool) -> dict[str, np.ndarray]:
    """The values of `variables`, and the state of PyTorch's generators."""
    state = variables(model, with_metrics)
    found = {name: _array(variable) for name, variable in state.items()}
    return {**found, "random": keras_internals.random_state()}


def restore(
    model: keras.Model,
    saved: dict[str, np.ndarray],
    file: pathlib.Path,
    with_metrics: bool = True,
) -> None:
    """Assigns what `values` returned; `file` is named in errors."""
    state = variables(model, with_metrics)
    wanted = {
        name: value
        for name, value in saved.items()
        if name != "random" and (with_metrics or not name.startswith("metrics/"))
    }
    check_same(state, wanted, file)
    for name, variable in state.items():
        variable.assign(wanted[name])
    keras_internals.set_random_state(saved["random"])


def _array(variable):
    """The value of a variable as NumPy's files can hold it."""
    value = ops.convert_to_numpy(ops.convert_to_tensor(variable))  # of all replicas
    # NumPy's files know no bfloat16; float32 holds its values exactly.
    return value.astype("float32") if str(value.dtype) == "bfloat16" else value


def not_finite(model: keras.Model, values: dict[str, np.ndarray]) -> str | None:
    """The path of a weight that has diverged, or `None`.

    Weights that are not trained may be infinite, as masks are.

    Args:
        model: `keras.Model`.
        values: dict of arrays, by the names that `variables` gives.
    """
    trained = set(map(id, model.trainable_variables))
    for index, variable in enumerate(model.variables):
        value = values[f"model/{index}"]
        if value.dtype.kind != "f":
            continue
        wrong = np.isnan(value) if id(variable) not in trained else ~np.isfinite(value)
        if wrong.any():
            return variable.path
    return None


def check_same(
    state: dict[str, keras.Variable], saved: dict[str, np.ndarray], file: pathlib.Path
) -> None:
    """Raises unless arrays of a file have the names and shapes of the variables."""
    shapes = {name: tuple(variable.shape) for name, variable in state.items()}
    others = {name: value.shape for name, value in saved.items()}
    if shapes != others:
        names = {name: f"{state[name].path} {shape}" for name, shape in shapes.items()}
        pairs = sorted(set(shapes.items()) ^ set(others.items()))[:4]
        differing = [names.get(name, f"{name} {shape}") for name, shape in pairs]
        raise ValueError(
            f"The backup {file} is of another model or optimizer. "
            "Take another `backup_dir`, or delete it to start anew. "
            f"Different are: {differing}"
        )


def check_complete(model: keras.Model, names: Iterable[str]) -> None:
    """Raises if variables were created since those called `names` were restored."""
    new = sorted(set(variables(model)) - set(names))
    if new:
        raise ValueError(
            "BackupAndResume: the model and all its optimizers must be built before "
            f"`fit`, see `optimizer.build`. Built later were: {new[:4]}"
        )
