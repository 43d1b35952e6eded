"""Runs of a model that costs nothing, with a backup, and what ends them."""

import keras
import numpy as np
import pytest
from execution import QUICK_JIT, array

from keras_align import BackupAndResume
from keras_align.training import ShuffledBatches

BATCHES, SIZE = 6, 2
X, Y = np.random.default_rng(0).normal(size=(2, BATCHES * SIZE, 3)).astype("float32")


class Interruption(Exception):
    """What `Interrupt` raises."""


class Interrupt(keras.callbacks.Callback):
    """Breaks training off after `steps` of the optimizer's steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if int(array(self.model.optimizer.iterations)) >= self.steps:
            raise Interruption


class Stop(keras.callbacks.Callback):
    """Ends training as handlers of signals do, after a step or in a validation."""

    def __init__(self, step=None, validation=None):
        super().__init__()
        self.step, self.validation = step, validation

    def on_train_batch_end(self, batch, logs=None):
        if int(array(self.model.optimizer.iterations)) == self.step:
            self.model.stop_training = True

    def on_test_batch_end(self, batch, logs=None):
        if int(array(self.model.optimizer.iterations)) == self.validation:
            self.model.stop_training = True


class Seen(keras.callbacks.Callback):
    """Notes the batches that callbacks see, and their logs."""

    def __init__(self):
        super().__init__()
        self.begun, self.ended, self.logs = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append(batch)
        self.logs.append(logs)


def build():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    mode = {"jit_compile": QUICK_JIT, "run_eagerly": not QUICK_JIT}
    model.compile(optimizer, "mse", metrics=["mae"], **mode)
    return model


def fit(model, folder, *callbacks, data=None, epochs=3, keep=False, first=(), **more):
    """Trains with a backup after every batch, or every epoch of data without order."""
    data = in_order() if data is None else data
    options = {"save_freq": 1, "data": data} if hasattr(data, "epoch") else {}
    backup = BackupAndResume(folder, delete_checkpoint=not keep, **options)
    callbacks = [*first, backup, *callbacks]
    more = {"shuffle": False, "verbose": 0, "epochs": epochs, **more}
    return model.fit(data, callbacks=callbacks, **more).history


def in_order():
    return ShuffledBatches(X, Y, SIZE, shuffle=False)


def batches():
    """An epoch of batches, of which nobody knows how many they are."""
    for index in range(BATCHES):
        rows = slice(index * SIZE, (index + 1) * SIZE)
        yield X[rows], Y[rows]


def check_same(model, other):
    for one, two in zip(model.variables, other.variables, strict=True):
        np.testing.assert_allclose(array(one), array(two), rtol=1e-5, atol=1e-7)


def check_logs(found, expected):
    """Those of the last epochs."""
    assert set(found) == set(expected)
    for name, values in found.items():
        assert values == pytest.approx(expected[name][-len(values) :], rel=1e-5), name
