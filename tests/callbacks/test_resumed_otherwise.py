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
    in_order,
)

import keras_align
from keras_align import BackupAndResume
from keras_align.training import ShuffledBatches

pytestmark = pytest.mark.slow_on("jax")


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
    backup = BackupAndResume("backup", delete_checkpoint=False)
    monkeypatch.chdir(tmp_path / "there")
    build().fit(X, Y, batch_size=SIZE, shuffle=False, verbose=0, callbacks=[backup])
    assert [x.name for x in (tmp_path / "here").rglob("*.npz")] == ["backup.npz"]
    assert not list((tmp_path / "there").iterdir())


def test_the_middle_of_other_data_is_an_error(tmp_path):
    interrupted(tmp_path)
    fewer = ShuffledBatches(X[:-SIZE], Y[:-SIZE], SIZE)
    with pytest.raises(
        ValueError, match=f"data of {BATCHES} batches.*`data` of {BATCHES - 1}"
    ):
        fit(build(), tmp_path, data=fewer)


class Counting(keras.utils.PyDataset):
    """Counts its epochs itself, one more than `fit` has."""

    epoch = 0

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        batches = ShuffledBatches(X, Y, SIZE, seed=1)
        batches.epoch = self.epoch
        return batches[index]

    def on_epoch_end(self):
        self.epoch += 1


@pytest.mark.parametrize(
    "make", [lambda: ShuffledBatches(X, Y, SIZE, seed=1), Counting]
)
def test_shuffled_data_go_on(tmp_path, make):
    whole, plain, resumed = build(), build(), build()
    fit(whole, tmp_path / "whole", data=make())
    plain.fit(make(), epochs=3, shuffle=False, verbose=0)
    check_same(plain, whole)
    interrupted(tmp_path, data=make())
    fit(resumed, tmp_path, data=make())
    check_same(resumed, whole)


def test_shuffled_data_go_on_as_a_dataset(tmp_path):
    pytest.importorskip("tensorflow")

    def train(model, folder, *callbacks):
        data = ShuffledBatches(X, Y, SIZE, seed=1)
        backup = BackupAndResume(folder, save_freq=2, data=data)
        more = {"epochs": 3, "verbose": 0, "shuffle": False}
        model.fit(data.as_dataset(), callbacks=[backup, *callbacks], **more)

    whole, direct, resumed = build(), build(), build()
    train(whole, tmp_path / "whole")
    fit(direct, tmp_path / "direct", data=ShuffledBatches(X, Y, SIZE, seed=1))
    check_same(direct, whole)
    with pytest.raises(Interruption):
        train(build(), tmp_path / "run", Interrupt(BATCHES + 3))
    train(resumed, tmp_path / "run")
    check_same(resumed, whole)


def test_the_middle_of_an_epoch_needs_its_data(tmp_path):
    interrupted(tmp_path)
    with pytest.raises(ValueError, match="data of 6 batches.*Received: `data` of -1"):
        build().fit(X, Y, verbose=0, callbacks=[BackupAndResume(tmp_path)])


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has none on PyTorch")
def test_the_middle_of_several_steps_is_an_error(tmp_path):
    interrupted(tmp_path)
    model = build()
    model.steps_per_execution = 5
    with pytest.raises(ValueError, match="at batch 2, .*steps_per_execution=5"):
        fit(model, tmp_path)


def test_the_middle_of_the_first_epoch_is_before_a_later_epoch(tmp_path):
    interrupted(tmp_path, 3)
    with pytest.raises(ValueError, match="`initial_epoch` .*, 0. .*initial_epoch=1"):
        fit(build(), tmp_path, initial_epoch=1)


def test_a_fit_of_its_own_cannot_resume_in_the_middle_of_an_epoch(tmp_path):
    interrupted(tmp_path, 3)
    model, data = build(), in_order()
    model.train_function = None
    backup = BackupAndResume(tmp_path, save_freq=1, data=data)
    backup.set_model(model)
    backup.set_params({"epochs": 3, "steps": BATCHES})
    backup.on_train_begin()
    backup.on_epoch_begin(0)
    backup.on_train_batch_begin(0)
    with pytest.raises(RuntimeError, match="`model.train_function` for every step"):
        backup.on_train_batch_end(0, {})


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


@pytest.mark.backends("tensorflow")
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
