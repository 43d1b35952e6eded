"""A backup from which training goes on as if it had never been interrupted."""

import warnings

import keras

from keras_align import keras_internals
from keras_align.callbacks import training_state
from keras_align.callbacks.backup_file import BackupFile
from keras_align.validation import checks


class BackupAndResume(keras.callbacks.Callback):
    """Backs training up, and resumes it at the very batch after the last backup.

    `keras.callbacks.BackupAndRestore` resumes at the beginning of an epoch, without
    the states of dropout. Here a run that was killed at any moment and started again
    ends with the weights of one that was not. A backup holds the variables of the
    model (the networks of the alignments, a weight's schedule and the seeds of
    dropout among them), of the optimizers that the model or a layer has as attributes,
    and of the metrics, and the position in the data. It is one file that is replaced at
    once: whatever happens meanwhile, the last whole backup stays. It also stays once
    a weight is not finite any more.

    Where something sets `model.stop_training` before an epoch ends, as handlers of
    SIGTERM do, the backup is written then and kept.

    What is needed for an equal run: the same model and callbacks, and data that come in
    the same order, as arrays with `shuffle=False` or
    `keras_align.training.ShuffledBatches`. Batches that were trained on are read again
    but neither computed nor shown to callbacks (if the length of the data is unknown,
    callbacks see the last of them again). What other callbacks remember, as
    `EarlyStopping` its best value, starts anew. What callbacks after this one do at the
    end of an epoch comes after its backup: put it last. Of several workers the first
    writes; all must see the folder.

    Args:
        backup_dir: string or path, a folder for this run alone.
        save_freq: `"epoch"`, or int > 0, after how many batches to save (and at the
            end of each epoch). Defaults to `"epoch"`.
        data: object whose attribute `epoch` is to be set at the beginning of every
            epoch, as the `ShuffledBatches` of which `fit` gets `as_dataset()`. `None`
            is the `PyDataset` that `fit` gets, if it has that attribute.
        delete_checkpoint: bool, whether to delete the backup when training has ended.
            Defaults to `True`.

    Raises:
        ValueError: if an argument is wrong, the model or an optimizer is not built, the
            backup is of other shapes, data or more epochs, `data` come with a
            `steps_per_epoch` that is not their length, or several workers find
            different backups.
        RuntimeError: outside of Keras's own `fit`.
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
        self.save_freq, self.data = save_freq, data
        self.delete_checkpoint = delete_checkpoint
        self._file, self._fit = BackupFile(backup_dir), None

    @property
    def file(self):
        """Path of the backup."""
        return self._file.path

    def set_model(self, model):
        super().set_model(model)
        self._trained = model  # on JAX a look at `self.model` costs a copy of its state

    def on_train_begin(self, logs=None):
        self._epoch, self._metrics, self._resumed_at = 0, [], (0, 0)
        self._interrupted = self._diverged = self._ran = False
        self._scalars = []
        model = self.model
        if not model.built:
            raise ValueError(
                f"BackupAndResume: '{model.name}' must be built before `fit`. Call it "
                "once on data."
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        keras_internals.begin_at_epoch(model, None)
        self._fit = keras_internals.DataOfFit(model)
        self._ordered = self.data
        if hasattr(self._fit.py_dataset, "epoch") and self.data is None:
            self._ordered = self._fit.py_dataset
        if self._ordered is not None:
            training_state.check_whole_epochs(self._fit)
        state = training_state.variables(model)
        self._names = tuple(state)
        position, values = self._file.read()
        self._check_workers(position)
        if self._writes():
            self._file.delete_parts()
        if position is not None:
            self._restore(state, position, values)
        else:
            self._save(0, 0)  # a folder that cannot be written shows now

    def on_epoch_begin(self, epoch, logs=None):
        keras_internals.begin_at_epoch(self.model, None)  # of this `fit` alone
        resumed_epoch, batches = self._resumed_at
        self._epoch, self._ended, self._ran = epoch, False, True
        self._done = batches if epoch == resumed_epoch else 0
        if self._ordered is not None:
            self._ordered.epoch = epoch
        self._restore_metrics()  # `fit` has just reset them

    def on_train_batch_begin(self, batch, logs=None):
        for variable, value in self._scalars:
            variable.assign(value)
        self._scalars = []

    def on_train_batch_end(self, batch, logs=None):
        before, self._done = self._done, batch + 1
        self._ended = self._fit.ended(self._done)
        if self._trained.stop_training:
            self._interrupt()
        elif self.save_freq == "epoch" or self._ended:
            return  # the end of the epoch is near
        elif self._done // self.save_freq > before // self.save_freq:
            self._save(self._epoch, self._done)

    def on_test_begin(self, logs=None):
        if self._fit is not None and self._trained.stop_training:
            self._interrupt()  # the metrics are still those of training

    def on_test_end(self, logs=None):
        if self._fit is not None and self._trained.stop_training:
            self._interrupt()

    def on_epoch_end(self, epoch, logs=None):
        if self._trained.stop_training and not self._has_ended():
            self._interrupt()
            return
        self._save(epoch + 1, 0)
        if epoch + 1 == self.params.get("epochs"):
            self._interrupted = False  # too late to matter

    def on_train_end(self, logs=None):
        keras_internals.begin_at_epoch(self.model, None)
        self._fit = None
        finished = self._ran and not (self._interrupted or self._diverged)
        if self.delete_checkpoint and finished and self._writes():
            self._file.delete()
        keras_internals.gather_from_workers(self.model, [0])  # none begins before that

    def _has_ended(self):
        return self._ended or self._fit.ended(self._done)

    def _interrupt(self):
        """Saves where something stopped training, unless it was an epoch's end."""
        if not self._interrupted and not self._has_ended():
            self._save(self._epoch, self._done)
        self._interrupted = True

    def _writes(self):
        return keras_internals.is_first_process(self._trained)

    def _save(self, epoch, batch):
        model = self.model
        state = training_state.variables(model)
        training_state.check_complete(state, self._names)
        if batch:
            for index, variable in enumerate(model.metrics_variables):
                state[f"metrics/{index}"] = variable
        # By all workers, who may have to add up.
        values = {name: training_state.array(each) for name, each in state.items()}
        values["random"] = keras_internals.random_state()
        position = epoch, batch, self._fit.read(batch), self._fit.length
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

    def _restore(self, state, position, values):
        random = values.pop("random")
        names = [name for name in values if name.startswith("metrics/")]
        self._metrics = [values.pop(name) for name in names]
        training_state.check_same(state, values, self.file)
        for name, variable in state.items():
            variable.assign(values[name])

        def ready():
            keras_internals.set_random_state(random)
            self._restore_metrics()

        epochs = self.params.get("epochs")
        training_state.check_rest(position, self._fit.length, epochs, self.file)
        epoch, batch, read, _ = position.values()
        self._resumed_at = epoch, batch
        if batch:  # schedules may change them once more as the epoch begins
            self._scalars = [
                (variable, values[name])
                for name, variable in state.items()
                if not name.startswith("model/") and variable.shape == ()
            ]
        keras_internals.begin_at_epoch(self.model, epoch)
        if read:
            self._fit.go_on(batch, read, ready)  # reading draws numbers on PyTorch
        else:
            ready()

    def _restore_metrics(self):
        """Restores the metrics of an epoch as soon as all of them exist."""
        variables = self.model.metrics_variables
        if len(variables) == len(self._metrics):
            for variable, value in zip(variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = []

    def _check_workers(self, position):
        numbers = list(position.values()) if position else [-2] * 4
        found = keras_internals.gather_from_workers(self.model, numbers)
        training_state.check_same_position(found, self.file)
