"""A backup from which training goes on as if it had never been interrupted."""

import os
import pathlib
import warnings
from typing import Any, Literal

import keras

from keras_align import keras_internals
from keras_align.callbacks import position as positions
from keras_align.callbacks import training_state
from keras_align.callbacks.backup_file import BackupFile
from keras_align.callbacks.skipping import SkippedBatches
from keras_align.validation import checks


class BackupAndResume(keras.callbacks.Callback):
    """Backs training up, and resumes it at the very batch after the last backup.

    `keras.callbacks.BackupAndRestore` resumes at the beginning of an epoch, without
    the states of dropout. Here a run that was killed at any moment and started again
    ends with the weights of one that was not. A backup holds the variables of the
    model (the networks of the alignments, a weight's schedule and the seeds of
    dropout among them), of the optimizers that the model or a layer has as attributes,
    and of the metrics, and the position in the data. It is one file that is replaced
    atomically and protected by a checksum: the last complete backup always stays. It
    also stays once a weight is not finite any more.

    Where something sets `model.stop_training` before an epoch ends, as handlers of
    SIGTERM do, the backup is written then (with `data`) and kept.

    An equal run needs the same model and callbacks, and the same data in the same
    order. `data` tells the order: it has

    - `len(data)`, the number of batches of an epoch, and
    - `data.epoch`, an int that may be set. Batch `index` of an epoch depends on
      `data.epoch` and `index` alone. It is increased by one for every epoch, by `data`
      itself or by this callback at the end of an epoch.

    `keras_align.training.ShuffledBatches` is such data, also for arrays that are not
    shuffled and where `fit` gets its `as_dataset()`; so is a `keras.utils.PyDataset`
    with that attribute and `workers=1`. Without `data`, as for arrays or a generator of
    which this callback cannot know the order, runs resume at the beginning of an epoch
    alone, and `fit` must give the whole data in every epoch.

    When a run resumes in the middle of an epoch, the batches before are read and
    dropped. Other callbacks see the whole epoch, these batches with the logs of the
    backup, but what they change in variables is undone. What they remember themselves,
    as `EarlyStopping` its best value, starts anew. Put this callback last: what others
    do after it is not in its backup. Of several workers the first writes; all must see
    the folder.

    Args:
        backup_dir: string or path, a local folder for this run alone.
        save_freq: `"epoch"`, or int > 0, after how many batches to save (and at the
            end of each epoch). Defaults to `"epoch"`. An int needs `data`.
        data: object with a length and an attribute `epoch`, see above: what `fit`
            trains on, or what that was made of. Defaults to `None`.
        delete_checkpoint: bool, whether to delete the backup when training has ended.
            Defaults to `True`.

    Raises:
        ValueError: if an argument is wrong, the model or an optimizer is not built, the
            backup is of other shapes, data or more epochs, an epoch of `fit` is not one
            of `data`, or several workers find different backups.
        RuntimeError: if the `fit` is not Keras's own.
        OSError: if the folder cannot be written, or the backup cannot be read, is
            damaged or was written by another version. It stays as it is.

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

    def __init__(
        self,
        backup_dir: str | os.PathLike,
        save_freq: int | Literal["epoch"] = "epoch",
        data: Any = None,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        checks.local_folder("backup_dir", backup_dir)
        if save_freq != "epoch":
            checks.positive_integer("save_freq", save_freq)
        positions.check_data(data, save_freq)
        self.save_freq, self.data = save_freq, data
        self.delete_checkpoint = delete_checkpoint
        self._file, self._is_training = BackupFile(backup_dir), False
        self._skipped: SkippedBatches | None = None

    @property
    def file(self) -> pathlib.Path:
        """Path of the backup."""
        return self._file.path

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._trained = model  # on JAX a look at `self.model` costs a copy of its state

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._epoch, self._done, self._logs = 0, 0, {}
        self._interrupted = self._diverged = self._ran = False
        self._skipped, self._is_training = None, True
        self._names = training_state.prepare(self.model)
        keras_internals.begin_at_epoch(self._trained, None)
        self._steps = positions.steps_of_epoch(self.params.get("steps"), self.data)
        position, values = self._file.read()
        positions.check_workers(self._trained, position, self.file)
        if self._writes():
            self._file.delete_partial()
        if position is not None:
            self._resume(position, values)
        else:
            self._save(0, 0)  # a folder that cannot be written shows now

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        keras_internals.begin_at_epoch(self._trained, None)  # of this `fit` alone
        if self._skipped is not None and epoch != self._position.epoch:
            raise ValueError(
                "Argument `initial_epoch` of `fit` must be at most the epoch of the "
                f"backup {self.file}, {self._position.epoch}. Received: "
                f"initial_epoch={epoch}"
            )
        self._epoch, self._done, self._ran = epoch, 0, True
        self._data_epoch = getattr(self.data, "epoch", -1)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._skipped is not None:
            self._skipped.skip_next_step()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        before, self._done, self._logs = self._done, batch + 1, logs or {}
        if self._skipped is not None:
            self._end_skipped_step(self._skipped, is_first=before == 0)
        elif self._trained.stop_training:
            self._interrupt()
        elif self._is_due(before):
            self._save(self._epoch, self._done)

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self._is_training and self._trained.stop_training:
            self._interrupt()  # the metrics are still those of training

    def on_test_end(self, logs: dict | None = None) -> None:
        if self._is_training and self._trained.stop_training:
            self._interrupt()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._interrupted and not self._has_ended():
            return
        self._steps = self._steps or self._done  # now known of any data
        if self.data is not None and self.data.epoch == self._data_epoch:
            self.data.epoch += 1  # `fit` cannot count those of `as_dataset()`
        self._save(epoch + 1, 0)
        if epoch + 1 == self.params.get("epochs"):
            self._interrupted = False  # too late to matter

    def on_train_end(self, logs: dict | None = None) -> None:
        keras_internals.begin_at_epoch(self._trained, None)
        self._is_training = False
        finished = self._ran and not (self._interrupted or self._diverged)
        if self.delete_checkpoint and finished and self._writes():
            self._file.delete()
        keras_internals.gather_from_workers(self.model, [0])  # none begins before that

    def _is_due(self, before):
        """Whether to save in the middle of an epoch, of which `before` were done."""
        if self.save_freq == "epoch" or self._has_ended():
            return False
        return self._done // self.save_freq > before // self.save_freq

    def _has_ended(self):
        return self._steps is not None and self._done >= self._steps

    def _interrupt(self):
        """Saves where something stopped training, unless it was an epoch's end."""
        is_new = not (self._interrupted or self._has_ended() or self._skipped)
        if is_new and self.data is not None:
            self._save(self._epoch, self._done)
        self._interrupted = True

    def _writes(self):
        return keras_internals.is_first_process(self._trained)

    def _save(self, epoch, batch):
        training_state.check_complete(self.model, self._names)
        # By all workers, who may have to add up.
        values = training_state.values(self.model, with_metrics=batch > 0)
        position = positions.Position(epoch, batch)
        if self.data is not None:
            data_epoch = self._data_epoch if batch else self.data.epoch
            logs = {k: v for k, v in self._logs.items() if isinstance(v, float)}
            position = positions.Position(
                epoch, batch, int(data_epoch), len(self.data), logs
            )
        if self._writes() and self._check_finite(values):
            self._file.write(position, values)

    def _check_finite(self, values):
        path = training_state.not_finite(self.model, values)
        if path is not None and not self._diverged:
            warnings.warn(
                f"BackupAndResume: the weight '{path}' is not finite, so no backup is "
                f"written.{self._file.kept()}",
                stacklevel=2,
            )
        self._diverged = path is not None
        return path is None

    def _resume(self, position, values):
        """Restores the beginning of an epoch, or what is known before its middle."""
        positions.check_rest(
            position,
            self.data,
            self.file,
            self.params.get("epochs"),
            self._trained.steps_per_execution,
        )
        training_state.restore(self.model, values, self.file, with_metrics=False)
        if self.data is not None:
            self.data.epoch = position.data_epoch
        keras_internals.begin_at_epoch(self._trained, position.epoch)
        if position.batch:
            self._position, self._values = position, values
            self._skipped = SkippedBatches(self._trained, position.logs)

    def _end_skipped_step(self, skipped: SkippedBatches, is_first: bool) -> None:
        """Undoes what callbacks changed, and the first step, which was computed."""
        skipped.check_skipped()
        is_last = self._done >= self._position.batch
        if is_first or is_last:
            training_state.restore(self.model, self._values, self.file)
        if is_last:
            self._skipped = self._values = None
        self._interrupted = bool(self._trained.stop_training)
