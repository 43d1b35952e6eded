"""Where a run of training was, and whether another can go on there."""

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np

from keras_align import keras_internals


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run of training was.

    Args:
        epoch: int, the epoch of `fit`.
        batch: int, the batches of this epoch that were trained on.
        data_epoch: int, `data.epoch`. Defaults to -1, without data.
        length: int, `len(data)`. Defaults to -1, without data.
        logs: dict of floats, the logs of the last batch.
    """

    epoch: int
    batch: int
    data_epoch: int = -1
    length: int = -1
    logs: dict[str, float] = dataclasses.field(default_factory=dict)


def check_data(data: Any, save_freq: int | str) -> None:
    """Raises unless the order of the data is known, or only that of epochs matters."""
    is_ordered = hasattr(data, "epoch") and hasattr(data, "__len__")
    if not is_ordered and (data is not None or save_freq != "epoch"):
        raise ValueError(
            "Argument `data` must have a length and an attribute `epoch`, as "
            "`ShuffledBatches`; `None` is for save_freq='epoch' alone. "
            f"Received: data={data!r}, save_freq={save_freq!r}"
        )
    workers = getattr(data, "workers", 1)
    if workers > 1 or getattr(data, "use_multiprocessing", False):
        # Keras gives batches that they read ahead of an epoch's end to the next epoch.
        raise ValueError(
            "Argument `data` must be read without worker threads and processes, whose "
            f"order Keras does not keep. Received: data={data!r} with {workers} workers"
        )


def check_workers(
    model: keras.Model, position: Position | None, file: pathlib.Path
) -> None:
    """Raises unless all processes that train the model found the same position."""
    row = [-2] * 4
    if position is not None:
        row = [position.epoch, position.batch, position.data_epoch, position.length]
    check_same_position(keras_internals.gather_from_workers(model, row), file)


def check_same_position(rows: np.ndarray, file: pathlib.Path) -> None:
    """Raises unless all rows, one for each process, are equal."""
    if (rows != rows[0]).any():
        raise ValueError(
            "Argument `backup_dir` must be a folder that all workers share. Received: "
            f"{file}, where the workers found (epoch, batch, epoch of the data, "
            f"batches of the data), -2 if nothing: {rows.tolist()}"
        )


def steps_of_epoch(steps: int | None, data: Any) -> int | None:
    """The number of batches that `fit` takes in an epoch, `None` if it is unknown.

    Args:
        steps: int or `None`, as `fit` knows it.
        data: the argument of `BackupAndResume`.

    Raises:
        ValueError: if the epochs of `fit` are not those of `data`.
    """
    if data is None:
        return steps
    if steps not in (None, len(data)):
        raise ValueError(
            "Argument `data` must be what `fit` trains on, and `steps_per_epoch` None "
            f"or the number of batches of `data`, {len(data)}, as every epoch has its "
            f"own order. Received: steps_per_epoch={steps}"
        )
    return len(data)


def check_rest(
    position: Position,
    data: Any,
    file: pathlib.Path,
    epochs: int | None,
    steps_per_execution: int,
) -> None:
    """Raises unless this `fit` can go on at a position."""
    start_anew = "Take another `backup_dir`, or delete it to start anew."
    length = -1 if data is None else len(data)
    if (position.batch and position.length != length) or (
        min(position.length, length) == -1 != max(position.length, length)
    ):
        raise ValueError(
            f"The backup {file} is of data of {position.length} batches (-1: without "
            f"`data`). {start_anew} Received: `data` of {length} batches"
        )
    if position.batch % steps_per_execution:
        raise ValueError(
            f"The backup {file} is at batch {position.batch}, which must be a multiple "
            f"of `steps_per_execution`. {start_anew} Received: steps_per_execution="
            f"{steps_per_execution}"
        )
    done = position.epoch, position.batch
    if epochs is not None and done > (epochs, 0):
        raise ValueError(
            "Argument `epochs` of `fit` must be above the position of the backup "
            f"{file}, epoch {done[0]} and batch {done[1]}. Received: epochs={epochs}"
        )
