"""A backup from which training goes on as if it had never been interrupted."""

import json
import os
import pathlib
import tempfile
import zipfile

import keras
import numpy as np
from keras import ops

from keras_align import checks, keras_internals


class BackupAndResume(keras.callbacks.Callback):
    """Backs training up, and resumes it at the very batch after the last backup.

    `keras.callbacks.BackupAndRestore` resumes at the beginning of an epoch, without
    the states of dropout. Here a run that was killed at any moment and started again
    ends with the weights of one that was not. A backup holds the variables of the
    model (the networks of the alignments, a weight's schedule and the seeds of
    dropout among them), of the optimizer and of the metrics, and the position in the
    data. It is one file that is replaced at once: whatever happens meanwhile, the last
    whole backup stays.

    What is needed for an equal run: the same model and callbacks, and data that come in
    the same order, as arrays with `shuffle=False` or
    `keras_align.training.ShuffledBatches`. Batches that were trained on are read again
    but not computed. What other callbacks remember, as `EarlyStopping` its best value,
    starts anew. Of several workers the first writes; all must see the folder.

    Args:
        backup_dir: string or path, a folder for this run alone.
        save_freq: `"epoch"`, or int > 0, after how many batches to save (and at the
            end of each epoch). Defaults to `"epoch"`.
        data: the `ShuffledBatches` that `fit` gets, or another object whose attribute
            `epoch` is to be set at the beginning of every epoch; or `None`.
        delete_checkpoint: bool, whether to delete the backup when training has ended.
            Defaults to `True`.

    Raises:
        ValueError: if an argument is wrong, the model is not built, or the backup is of
            another model.
        OSError: if the folder cannot be written or the backup cannot be read. The last
            good backup stays as it is.

    Example:

    >>> inputs = keras.Input((5, 8))
    >>> layer = keras_align.AlignedMultiHeadAttention(2, 4)
    >>> model = keras.Model(inputs, layer(inputs, inputs))
    >>> model.compile("adam", "mse")
    >>> x = np.ones((8, 5, 8))
    >>> batches = keras_align.training.ShuffledBatches(x, x, batch_size=2)
    >>> backup = keras_align.BackupAndResume("backup", save_freq=2, data=batches)
    >>> logs = model.fit(batches, shuffle=False, callbacks=[backup], verbose=0)
    """

    FILE = "backup.npz"

    def __init__(
        self, backup_dir, save_freq="epoch", data=None, delete_checkpoint=True
    ):
        super().__init__()
        if save_freq != "epoch":
            checks.positive_integer("save_freq", save_freq)
        if not str(backup_dir):
            raise ValueError(
                "Argument `backup_dir` must name a folder. "
                f"Received: backup_dir={backup_dir!r}"
            )
        if data is not None and not hasattr(data, "epoch"):
            raise ValueError(
                "Argument `data` must have an attribute `epoch`. "
                f"Received: data={data!r}"
            )
        self.file = pathlib.Path(backup_dir) / self.FILE
        self.save_freq, self.data = save_freq, data
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs=None):
        self._epoch, self._metrics, self._resumed_at = 0, [], (0, 0)
        model = self.model
        if not model.built:
            raise ValueError(
                f"BackupAndResume: '{model.name}' must be built before `fit`. Call it "
                "once on data."
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if self.file.exists():
            self._restore()
        else:
            self._save(0, 0)  # a folder that cannot be written shows now

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._saved = epoch, 0
        if self.data is not None:
            self.data.epoch = epoch
        self._restore_metrics()  # `fit` has just reset them

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch + 1) == self._resumed_at:
            keras_internals.set_random_state(self._random)
        if self.save_freq == "epoch" or (self._epoch, batch) < self._resumed_at:
            return
        done = batch + 1
        if done == self.params.get("steps"):
            return  # the end of the epoch is near
        if done // self.save_freq > self._saved // self.save_freq:
            self._save(self._epoch, done)
        self._saved = done

    def on_epoch_end(self, epoch, logs=None):
        self._save(epoch + 1, 0)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint and keras_internals.is_first_process(self.model):
            self.file.unlink(missing_ok=True)

    def _state(self):
        """The variables of model and optimizer by their places."""
        model = self.model
        groups = {"model": model.variables, "optimizer": model.optimizer.variables}
        return {
            f"{group}/{index}": variable
            for group, variables in groups.items()
            for index, variable in enumerate(variables)
        }

    def _contents(self, epoch, batch):
        state = self._state()
        if batch:
            for index, variable in enumerate(self.model.metrics_variables):
                state[f"metrics/{index}"] = variable
        position = np.array(json.dumps({"epoch": epoch, "batch": batch}))
        values = {name: _numpy(variable) for name, variable in state.items()}
        random = keras_internals.random_state()
        return {**values, "position": position, "random": random}

    def _save(self, epoch, batch):
        contents = self._contents(epoch, batch)  # by all: workers may have to add up
        if keras_internals.is_first_process(self.model):
            self._write(contents)

    def _write(self, contents):
        folder, name = self.file.parent, None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=folder, prefix=self.FILE, suffix=".part", delete=False
            ) as file:
                name = file.name
                np.savez(file, **contents)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.file)
        except OSError as error:
            if name is not None:
                pathlib.Path(name).unlink(missing_ok=True)
            kept = "The last good backup is kept." if self.file.exists() else ""
            raise OSError(
                error.errno,
                f"BackupAndResume cannot write a backup: {error.strerror}. {kept}",
                str(folder),
            ) from error

    def _restore(self):
        try:
            with self.file.open("rb") as file:
                contents = dict(np.load(file, allow_pickle=False))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise OSError(
                f"BackupAndResume cannot read {self.file}: {error}. Delete it to "
                "start anew."
            ) from error
        position = json.loads(str(contents.pop("position")))
        random = contents.pop("random")
        names = [name for name in contents if name.startswith("metrics/")]
        self._metrics = [contents.pop(name) for name in names]
        state = self._state()
        _check_same(state, contents, self.file)
        for name, variable in state.items():
            variable.assign(contents[name])
        if position["batch"]:
            self._random = random  # reading data draws numbers on PyTorch
        else:
            keras_internals.set_random_state(random)
        self._resumed_at = position["epoch"], position["batch"]
        self.model._initial_epoch = position["epoch"]
        keras_internals.skip_batches(
            self.model, position["batch"], self._restore_metrics
        )

    def _restore_metrics(self):
        """Restores the metrics of an epoch as soon as all of them exist."""
        variables = self.model.metrics_variables
        if len(variables) == len(self._metrics):
            for variable, value in zip(variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = []


def _numpy(variable):
    value = ops.convert_to_numpy(ops.convert_to_tensor(variable))  # of all replicas
    # NumPy's files know no bfloat16; float32 holds its values exactly.
    return value.astype("float32") if str(value.dtype) == "bfloat16" else value


def _check_same(state, contents, file):
    shapes = {name: tuple(variable.shape) for name, variable in state.items()}
    saved = {name: value.shape for name, value in contents.items()}
    if shapes != saved:
        differing = sorted(set(shapes.items()) ^ set(saved.items()))[:4]
        raise ValueError(
            f"The backup {file} is of another model or optimizer. "
            "Take another `backup_dir`, or delete it to start anew. "
            f"Different are: {differing}"
        )
