"""Backups: where a run was stopped, and what others see of it when it goes on."""

import isolated
import keras
import numpy as np
import pytest
from execution import QUICK_JIT, array
from small_runs import (
    BATCHES,
    SIZE,
    Interrupt,
    Interruption,
    Seen,
    Stop,
    X,
    Y,
    batches,
    build,
    check_logs,
    check_same,
    fit,
    in_order,
)

import keras_align
from keras_align import BackupAndResume
from keras_align.callbacks import position
from keras_align.training import ShuffledBatches

pytestmark = pytest.mark.slow_on("jax")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    model = build()
    more = {"validation_data": (X, Y)}
    return model, fit(model, tmp_path_factory.mktemp("whole"), **more)


@pytest.mark.parametrize(
    ("stop", "first"),
    [
        ({"step": 8}, True),  # in mid-epoch
        ({"step": 8}, False),
        ({"step": 12}, True),  # at the end of an epoch that is not the last
        ({"validation": 6}, False),
    ],
)
def test_where_something_stopped_training_it_goes_on(tmp_path, whole, stop, first):
    more = {"validation_data": (X, Y)}
    (steps,), stops = stop.values(), [Stop(**stop)]
    stopped = build()
    fit(stopped, tmp_path, *stops[first:], first=stops[: int(first)], **more)
    assert int(array(stopped.optimizer.iterations)) == steps
    assert [file.name for file in tmp_path.iterdir()] == ["backup.npz"]
    resumed, (model, logs) = build(), whole
    check_logs(fit(resumed, tmp_path, **more), logs)
    check_same(resumed, model)
    assert not list(tmp_path.iterdir())


def test_stopping_without_validation_keeps_the_backup(tmp_path, whole):
    fit(build(), tmp_path, Stop(8))
    resumed = build()
    fit(resumed, tmp_path)
    check_same(resumed, whole[0])


@pytest.mark.parametrize("first", [True, False])
def test_early_stopping_at_the_end_of_an_epoch_ends_the_run(tmp_path, first):
    early = keras.callbacks.EarlyStopping("loss", patience=0, mode="max")
    fit(build(), tmp_path, *[early][first:], first=[early][: int(first)])
    assert not list(tmp_path.iterdir())


def test_stopping_in_the_last_step_ends_the_run(tmp_path):
    fit(build(), tmp_path, Stop(18))
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_keep_the_last_good_backup(tmp_path):
    def diverge(batch, logs):
        kernel = model.layers[-1].kernel
        if batch == 4:
            kernel.assign(array(kernel) * np.inf)

    model = build()
    diverging = keras.callbacks.LambdaCallback(on_train_batch_begin=diverge)
    with pytest.warns(UserWarning, match="kernel' is not finite.*good backup is kept"):
        fit(model, tmp_path, diverging, epochs=1)
    assert np.isnan(array(model.layers[-1].kernel)).all()
    resumed, expected = build(), build()
    fit(resumed, tmp_path, epochs=1)
    fit(expected, tmp_path, epochs=1)
    check_same(resumed, expected)


def test_an_infinity_that_is_not_trained_may_be_saved(tmp_path):
    model = build()
    model.layers[-1].bias.trainable = False
    model.layers[-1].bias.assign([-np.inf] * 3)
    fit(model, tmp_path, Interrupt(99), epochs=0, keep=True)
    assert [file.name for file in tmp_path.iterdir()] == ["backup.npz"]


def test_an_epoch_must_have_all_of_the_data(tmp_path):
    data = ShuffledBatches(X, Y, batch_size=SIZE)
    backup = BackupAndResume(tmp_path, data=data)
    more = {"callbacks": [backup], "verbose": 0, "shuffle": False}
    with pytest.raises(ValueError, match="`steps_per_epoch` .*, 6, .*epoch=4"):
        build().fit(data, steps_per_epoch=4, **more)
    with pytest.raises(ValueError, match="`data` must be what `fit` trains on"):
        build().fit(X, Y, batch_size=4, **more)
    build().fit(data, steps_per_epoch=BATCHES, **more)


def test_callbacks_see_the_whole_epoch_with_the_logs_of_the_backup(tmp_path, whole):
    before = Seen()
    with pytest.raises(Interruption):
        fit(build(), tmp_path, Interrupt(9), first=[before])
    model, seen = build(), Seen()
    fit(model, tmp_path, first=[seen])
    check_same(model, whole[0])
    assert seen.begun == seen.ended == [*range(6), *range(6)]
    assert {tuple(sorted(logs)) for logs in seen.logs} == {("loss", "mae")}
    assert seen.logs[:3] == 3 * [before.logs[8]]


def test_what_callbacks_change_is_not_changed_twice(tmp_path):
    class Decay(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rate = self.model.optimizer.learning_rate
            rate.assign(array(rate) * 0.9)

        def on_train_batch_end(self, batch, logs=None):
            self.on_train_batch_begin(batch)

    model, resumed = build(), build()
    fit(model, tmp_path / "whole", first=[Decay()])
    with pytest.raises(Interruption):
        fit(build(), tmp_path / "run", Interrupt(9), first=[Decay()])
    fit(resumed, tmp_path / "run", first=[Decay()])
    check_same(resumed, model)
    rates = [float(array(x.optimizer.learning_rate)) for x in (model, resumed)]
    assert rates == pytest.approx([0.1 * 0.9 ** (2 * 18)] * 2, rel=1e-4)


def test_the_schedule_of_a_weight_goes_on(tmp_path):
    """Also at the last step of its warm-up, after which it looks no more."""

    def factors(*callbacks):
        layer = keras_align.AlignedMultiHeadAttention(1, 3, alignment="mmd")
        inputs = keras.Input((1, 3))
        model = keras.Model(inputs, layer(inputs, inputs))
        model.compile("sgd", "mse", run_eagerly=not QUICK_JIT, jit_compile=QUICK_JIT)
        found = []

        class Note(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                (layer,) = self.model.layers[1:]  # on JAX `self.model` gets the state
                found.append(float(array(layer.alignment_factor)))

        schedule = keras_align.AlignmentWeightSchedule(warmup_steps=4)
        data = ShuffledBatches(X[:, None], Y[:, None], SIZE)
        fit(model, tmp_path, *callbacks, first=[schedule, Note()], data=data, epochs=1)
        return found

    with pytest.raises(Interruption):
        factors(Interrupt(3))
    assert factors()[3:] == [0.75, 1.0, 1.0]


def test_data_without_an_order_resume_at_the_beginning_of_an_epoch(tmp_path, whole):
    class Unordered(keras.utils.PyDataset):
        def __len__(self):
            return BATCHES

        def __getitem__(self, index):
            return in_order()[index]

    with pytest.raises(Interruption):
        fit(build(), tmp_path, Interrupt(9), data=Unordered())
    model, seen = build(), Seen()
    fit(model, tmp_path, first=[seen], data=Unordered())
    assert seen.ended == [*range(6), *range(6)]
    check_same(model, whole[0])


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("stop", [None, Stop(3), Stop(validation=6)])
def test_an_epoch_of_unknown_length_begins_again(tmp_path, stop):
    def interrupt(logs):
        raise Interruption

    interrupted = keras.callbacks.LambdaCallback(on_test_begin=interrupt)
    more = {"epochs": 1, "validation_data": (X, Y)}
    model, resumed, seen = build(), build(), Seen()
    expected = fit(model, tmp_path / "whole", data=batches(), **more)
    if stop is None:
        with pytest.raises(Interruption):
            fit(build(), tmp_path / "run", interrupted, data=batches(), **more)
    else:
        fit(build(), tmp_path / "run", stop, data=batches(), **more)
    found = fit(resumed, tmp_path / "run", seen, data=batches(), **more)
    assert seen.ended == [*range(BATCHES)]
    check_logs(found, expected)
    check_same(resumed, model)


def test_the_next_fit_of_a_resumed_model_trains(tmp_path):
    with pytest.raises(Interruption):
        fit(build(), tmp_path, Interrupt(14))
    model = build()
    fit(model, tmp_path)
    again = model.fit(X, Y, batch_size=SIZE, epochs=2, verbose=0)
    assert again.epoch == [0, 1]


def second_optimizer(model):
    """An optimizer inside a list, as of a model with a `train_step` of its own."""
    model.more = [keras.optimizers.Adam()]
    return model.more[0]


def test_other_optimizers_of_the_model_go_on(tmp_path):
    model, resumed = build(), build()
    for each in (model, resumed):
        second_optimizer(each).build(each.trainable_variables)
    slot = model.more[0].variables[-1]
    slot.assign(array(slot) + 7.0)
    with pytest.raises(Interruption):
        fit(model, tmp_path, Interrupt(2))
    fit(resumed, tmp_path)
    assert (array(resumed.more[0].variables[-1]) == 7.0).all()


def test_an_optimizer_that_is_built_too_late_is_an_error(tmp_path):
    def build_optimizer(batch, logs):
        model.more[0].build(model.trainable_variables)

    model = build()
    second_optimizer(model)
    late = keras.callbacks.LambdaCallback(on_train_batch_begin=build_optimizer)
    with pytest.raises(ValueError, match="must be built before `fit`.*more.0/"):
        fit(model, tmp_path, late)


def test_workers_that_do_not_share_the_folder_are_an_error():
    position.check_same_position(np.array([[1, 2, 2], [1, 2, 2]]), "file")
    with pytest.raises(ValueError, match=r"`backup_dir` must .*\[1, 2, 2\], \[-1, -1"):
        position.check_same_position(np.array([[1, 2, 2], [-1] * 3]), "file")


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
def test_two_workers_with_a_folder_each_are_an_error(tmp_path):
    workers = [
        isolated.start("workers_apart.py", tmp_path, TF_CONFIG=config)
        for config in isolated.clusters(2)
    ]
    for worker in workers:
        assert "[[-2, -2, -2, -2], [2, 2, 2, 2]]" in isolated.finish(worker)
