"""The variables that a run of training consists of."""

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals


def variables(model):
    """The variables of a model and of its optimizers by their places."""
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    groups["seed"] = [keras_internals.global_seed()]
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


def array(variable):
    """The value of a variable as NumPy's files can hold it."""
    value = ops.convert_to_numpy(ops.convert_to_tensor(variable))  # of all replicas
    # NumPy's files know no bfloat16; float32 holds its values exactly.
    return value.astype("float32") if str(value.dtype) == "bfloat16" else value


def not_finite(model, values):
    """The path of a weight that has diverged, or `None`.

    Weights that are not trained may hold an infinity for good, as masks do.

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


def check_same(state, saved, file):
    """Raises unless arrays of a file have the names and shapes of the variables."""
    shapes = {name: tuple(variable.shape) for name, variable in state.items()}
    others = {name: value.shape for name, value in saved.items()}
    if shapes != others:
        names = {name: f"{state[name].path} {shape}" for name, shape in shapes.items()}
        differing = sorted(set(shapes.items()) ^ set(others.items()))[:4]
        differing = [names.get(name, f"{name} {shape}") for name, shape in differing]
        raise ValueError(
            f"The backup {file} is of another model or optimizer. "
            "Take another `backup_dir`, or delete it to start anew. "
            f"Different are: {differing}"
        )


def check_complete(state, names):
    """Raises if variables were made since those called `names` were restored."""
    new = sorted(set(state) - set(names))
    if new:
        raise ValueError(
            "BackupAndResume: the model and all its optimizers must be built before "
            f"`fit`, see `optimizer.build`. Built later were: {new[:4]}"
        )


def check_same_position(positions, file):
    """Raises unless all workers, one in a row, found the same position."""
    if (positions != positions[0]).any():
        raise ValueError(
            "Argument `backup_dir` must be a folder that all workers share. Received: "
            f"{file}, where the workers found (epoch, batch, batches read, length), "
            f"-2 if nothing: {positions.tolist()}"
        )


def check_whole_epochs(data_of_fit):
    """Raises if epochs end before data whose order is of the epoch."""
    if data_of_fit.is_cut:
        raise ValueError(
            "Argument `steps_per_epoch` of `fit` must be None or the number of "
            f"batches of `data`, {data_of_fit.length}, whose order is of the epoch. "
            f"Received: steps_per_epoch={data_of_fit.steps_per_epoch}"
        )


def check_rest(position, length, epochs, file):
    """Raises unless a backup is of data of this length and of fewer epochs."""
    if position["read"] and position["length"] != length:
        raise ValueError(
            f"The backup {file} is in the middle of data of {position['length']} "
            "batches, -1 if unknown. Take another `backup_dir`, or delete it to start "
            f"anew. Received: data of {length} batches"
        )
    done = position["epoch"], position["batch"]
    if epochs is not None and done > (epochs, 0):
        raise ValueError(
            "Argument `epochs` of `fit` must be above the position of the backup "
            f"{file}, epoch {done[0]} and batch {done[1]}. Received: epochs={epochs}"
        )
