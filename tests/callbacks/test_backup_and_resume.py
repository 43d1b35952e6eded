"""Backups: resumed runs, and what happens when they cannot be written or read."""

import os
import resource
import signal

import contracts
import keras
import numpy as np
import pytest
import small_runs
from execution import BACKEND, array
from small_runs import Interrupt, Interruption

import keras_align
from keras_align import BackupAndResume
from keras_align.training import ShuffledBatches

EPOCHS = 3
X, Y = contracts.tokens(5, batch=9), contracts.tokens(5, batch=9, seed=1)


def build(alignment="ct", **options):
    keras.utils.set_random_seed(0)
    layer = contracts.MULTI_HEAD.make(alignment, dropout=0.3, alignment_weight=1.0)
    inputs = keras.Input((5, 8))
    outputs = keras.layers.Dropout(0.2)(layer(inputs, inputs))
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.Adam(1e-2)
    options = {"jit_compile": False, "metrics": ["mae"], **options}
    model.compile(optimizer, "mse", **options)
    return model


def fit(model, folder, *callbacks, **options):
    batches = ShuffledBatches(X, Y, batch_size=2, drop_remainder=False)
    options = {"save_freq": 2, "data": batches, **options}
    callbacks = [
        keras_align.AlignmentWeightSchedule(warmup_steps=8),
        BackupAndResume(folder, **options),
        *callbacks,
    ]
    return model.fit(
        batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks
    ).history


several = pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has none in Keras")


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"steps_per_execution": 2}, marks=several)]
)
def test_a_run_goes_on_as_if_it_had_not_been_interrupted(tmp_path, options):
    whole = build(**options)
    expected = fit(whole, tmp_path / "whole")
    with pytest.raises(Interruption):
        fit(build(**options), tmp_path / "run", Interrupt(8))
    resumed = build(**options)
    found = fit(resumed, tmp_path / "run")
    assert set(found) == set(expected)
    for name, values in found.items():
        assert len(values) == 2  # of the second epoch and the third
        assert values == pytest.approx(expected[name][1:], rel=1e-5), name
    ends = [[*x.variables, *x.optimizer.variables] for x in (resumed, whole)]
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(array(one), array(other), rtol=1e-5, atol=1e-7)


def test_the_backup_is_deleted_in_the_end_or_kept(tmp_path):
    fit(build(), tmp_path / "gone")
    assert not list((tmp_path / "gone").iterdir())
    model = build()
    fit(model, tmp_path / "kept", delete_checkpoint=False)
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["backup.npz"]
    again = build()
    assert not fit(again, tmp_path / "kept")  # it had come to the end
    np.testing.assert_array_equal(array(again.weights[0]), array(model.weights[0]))


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write a backup: Not a directory\.: "):
        fit(build(), tmp_path / "file" / "folder")


def test_a_full_disk_keeps_the_last_good_backup(tmp_path):
    """No file may grow further than the first backup, half of a later one's size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(batch, logs):
        if batch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    full = keras.callbacks.LambdaCallback(on_train_batch_begin=fill)
    try:
        with pytest.raises(OSError, match="The last good backup is kept"):
            fit(build(), tmp_path, full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in tmp_path.iterdir()] == ["backup.npz"]
    whole, resumed = build(), build()
    fit(whole, tmp_path / "whole")
    fit(resumed, tmp_path)
    np.testing.assert_allclose(
        array(resumed.weights[0]), array(whole.weights[0]), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no archive"])
def test_a_backup_that_cannot_be_read_says_what_to_do(tmp_path, content):
    (tmp_path / "backup.npz").write_bytes(content)
    with pytest.raises(OSError, match="cannot read .*backup.npz.* Delete it"):
        fit(build(), tmp_path)
    assert (tmp_path / "backup.npz").read_bytes() == content


def test_the_backup_of_another_model_is_refused(tmp_path):
    with pytest.raises(Interruption):
        fit(build(), tmp_path, Interrupt(5))
    model = build("mmd")
    before = [array(weight) for weight in model.trainable_weights]
    with pytest.raises(ValueError, match="of another model or optimizer"):
        fit(model, tmp_path)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), value)


@pytest.mark.parametrize(
    "wrong",
    [{"save_freq": 0}, {"save_freq": "batch"}, {"data": 3}, {"backup_dir": ""}],
)
def test_wrong_arguments_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` must .*Received: {name}="):
        BackupAndResume(**{"backup_dir": "folder", **wrong})


@pytest.mark.tensorflow  # elsewhere `fit` builds it
def test_an_unbuilt_model_is_an_error(tmp_path):
    model = keras.Sequential([keras.layers.Dense(8)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be built before `fit`"):
        model.fit(X, Y, callbacks=[BackupAndResume(tmp_path)], verbose=0)


def test_what_killed_processes_left_is_deleted(tmp_path):
    for name in ("backup.npz.part", "backup.npzx1.part"):
        (tmp_path / name).write_bytes(b"torn")
    small_runs.fit(small_runs.build(), tmp_path, epochs=1)
    assert not list(tmp_path.iterdir())


def test_the_mode_of_the_file_is_the_users(tmp_path):
    before = os.umask(0o027)
    try:
        small_runs.fit(small_runs.build(), tmp_path, epochs=1, keep=True)
    finally:
        os.umask(before)
    assert (tmp_path / "backup.npz").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"a": 1}, "no backup of this callback"),
        ({"position": '{"epoch": 1}', "random": 0}, "another position"),
        ({"position": "torn", "random": 0}, "Expecting value"),
    ],
)
def test_a_file_that_is_no_backup_says_what_to_do(tmp_path, content, what):
    np.savez(tmp_path / "backup.npz", **content)
    with pytest.raises(OSError, match=f"cannot read .*{what}.*Delete it"):
        small_runs.fit(small_runs.build(), tmp_path)
