"""Backups: runs that go on with other callbacks' doings, other data, other settings."""

import keras
import numpy as np
import pytest
from execution import BACKEND, array
from small_runs import (
    BATCHES,
    SIZE,
    Interrupt,
    Interruption,
    X,
    Y,
    build,
    check_same,
    fit,
)

import keras_align
from keras_align import BackupAndResume
from keras_align.training import ShuffledBatches


def interrupted(folder, steps=BATCHES + 2, make=build, **more):
    """Leaves a backup of a run that broke off in its second epoch."""
    with pytest.raises(Interruption):
        fit(make(), folder, Interrupt(steps), **more)


def test_a_schedule_by_epochs_is_not_applied_twice(tmp_path):
    def halve():
        return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2.0)

    whole, resumed = build(), build()
    fit(whole, tmp_path / "whole", first=[halve()])
    interrupted(tmp_path, first=[halve()])
    fit(resumed, tmp_path, first=[halve()])
    check_same(resumed, whole)
    rates = [float(array(x.optimizer.learning_rate)) for x in (whole, resumed)]
    assert rates[0] == pytest.approx(rates[1]) == pytest.approx(0.1 / 8.0)


def test_fewer_epochs_than_were_trained_are_an_error_that_keeps_the_backup(tmp_path):
    interrupted(tmp_path, 2 * BATCHES + 1)
    with pytest.raises(ValueError, match="`epochs` of `fit` must be above"):
        fit(build(), tmp_path, epochs=1)
    assert (tmp_path / "backup.npz").exists()


def test_a_run_of_which_nothing_is_left_keeps_its_backup(tmp_path):
    fit(build(), tmp_path, epochs=1, keep=True)
    assert fit(build(), tmp_path, epochs=1) == {}
    assert (tmp_path / "backup.npz").exists()


def test_the_folder_is_that_of_the_beginning(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    backup = BackupAndResume("backup", save_freq=1, delete_checkpoint=False)
    monkeypatch.chdir(tmp_path / "there")
    build().fit(X, Y, batch_size=SIZE, shuffle=False, verbose=0, callbacks=[backup])
    assert [x.name for x in (tmp_path / "here").rglob("*.npz")] == ["backup.npz"]
    assert not list((tmp_path / "there").iterdir())


def test_the_middle_of_other_data_is_an_error(tmp_path):
    interrupted(tmp_path)
    fewer = ShuffledBatches(X[:-SIZE], Y[:-SIZE], SIZE)
    with pytest.raises(
        ValueError, match=f"data of {BATCHES} batches.*of {BATCHES - 1}"
    ):
        fit(build(), tmp_path, data=fewer)


def test_shuffled_batches_that_fit_gets_need_not_be_named(tmp_path):
    def data():
        return ShuffledBatches(X, Y, SIZE, seed=1)

    whole, resumed = build(), build()
    fit(whole, tmp_path / "whole", data=data())
    interrupted(tmp_path, data=data())
    fit(resumed, tmp_path, data=data())
    check_same(resumed, whole)


class Noise(keras.layers.Layer):
    """Draws from the global seed."""

    def call(self, x, training=None):
        noise = keras.random.normal((SIZE, 3)) if training else 0.0
        return x + noise


def noisy():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), batch_size=SIZE)
    model = keras.Model(inputs, keras.layers.Dense(3)(Noise()(inputs)))
    model.compile("sgd", "mse", run_eagerly=True)
    return model


@pytest.mark.skipif(BACKEND == "jax", reason="JAX refuses the global seed in a step")
def test_the_global_seed_goes_on(tmp_path):
    whole, resumed = noisy(), noisy()
    keras.utils.set_random_seed(5)
    fit(whole, tmp_path / "whole")
    keras.utils.set_random_seed(5)
    model = noisy()
    keras.utils.set_random_seed(5)
    with pytest.raises(Interruption):
        fit(model, tmp_path, Interrupt(BATCHES + 2))
    keras.utils.set_random_seed(6)
    fit(resumed, tmp_path)
    check_same(resumed, whole)


def test_a_file_of_one_array_is_no_backup(tmp_path):
    with open(tmp_path / "backup.npz", "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(OSError, match="it is a single array"):
        fit(build(), tmp_path)


@pytest.mark.tensorflow
def test_a_schedule_counts_accumulated_batches_as_one_step():
    inputs = keras.Input((4, 8))
    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment="mmd")
    model = keras.Model(inputs, layer(inputs, inputs))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model.compile(optimizer, "mse", run_eagerly=True, steps_per_execution=2)
    factors = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: factors.append(
            float(array(layer.alignment_factor))
        )
    )
    x = np.ones((8, 4, 8), "float32")
    schedule = keras_align.AlignmentWeightSchedule(warmup_steps=4)
    model.fit(x, x, batch_size=1, verbose=0, callbacks=[schedule, note])
    assert factors == pytest.approx([0.0, 0.25, 0.5, 0.75])
