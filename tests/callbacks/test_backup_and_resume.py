"""Backups: resumed runs, and what happens when they cannot be written or read."""

import os
import pathlib
import resource
import signal

import contracts
import keras
import numpy as np
import pytest
import small_runs
from execution import BACKEND, QUICK_JIT, array
from small_runs import Interrupt, Interruption

import keras_align
from keras_align import BackupAndResume
from keras_align.callbacks.backup_file import BackupFile
from keras_align.training import ShuffledBatches

X, Y = contracts.tokens(5, batch=5), contracts.tokens(5, batch=5, seed=1)


SAMPLED = keras_align.ConditionalTransportAlignment(max_tokens=3)  # of 5


def build(alignment=SAMPLED):
    keras.utils.set_random_seed(0)
    layer = contracts.MULTI_HEAD.make(alignment, dropout=0.3, alignment_weight=1.0)
    inputs = keras.Input((5, 8))
    outputs = keras.layers.Dropout(0.2)(layer(inputs, inputs))
    model = keras.Model(inputs, outputs)
    mode = {"jit_compile": QUICK_JIT, "run_eagerly": not QUICK_JIT}
    model.compile(keras.optimizers.Adam(1e-2), "mse", metrics=["mae"], **mode)
    return model


def fit(model, folder, *callbacks, epochs=3):
    batches = ShuffledBatches(X, Y, batch_size=2, drop_remainder=False)
    callbacks = [
        keras_align.AlignmentWeightSchedule(warmup_steps=8),
        BackupAndResume(folder, save_freq=2, data=batches),
        *callbacks,
    ]
    more = {"epochs": epochs, "shuffle": False, "verbose": 0}
    return model.fit(batches, callbacks=callbacks, **more).history


@pytest.mark.slow_on("jax")
def test_a_run_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    whole, resumed = build(), build()
    expected = fit(whole, tmp_path / "whole")
    with pytest.raises(Interruption):
        fit(build(), tmp_path / "run", Interrupt(5))
    found = fit(resumed, tmp_path / "run")
    assert set(found) == set(expected)
    for name, values in found.items():
        assert len(values) == 2  # of the second epoch and the third
        assert values == pytest.approx(expected[name][1:], rel=1e-5), name
    ends = [[*x.variables, *x.optimizer.variables] for x in (resumed, whole)]
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(array(one), array(other), rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has none on PyTorch")
def test_a_run_of_several_steps_per_execution_goes_on(tmp_path):
    def several():
        model = small_runs.build()
        options = {"steps_per_execution": 2, "jit_compile": QUICK_JIT}
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "mse", metrics=["mae"], **options)
        return model

    whole, resumed = several(), several()
    logs = small_runs.fit(whole, tmp_path / "whole")
    with pytest.raises(Interruption):
        small_runs.fit(several(), tmp_path / "run", Interrupt(10))
    small_runs.check_logs(small_runs.fit(resumed, tmp_path / "run"), logs)
    small_runs.check_same(resumed, whole)


def test_the_backup_is_deleted_in_the_end_or_kept(tmp_path):
    small_runs.fit(small_runs.build(), tmp_path / "gone")
    assert not list((tmp_path / "gone").iterdir())
    model, again = small_runs.build(), small_runs.build()
    small_runs.fit(model, tmp_path / "kept", keep=True)
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["backup.npz"]
    assert not small_runs.fit(again, tmp_path / "kept")  # it had come to the end
    small_runs.check_same(again, model)


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write a backup: Not a directory\.: "):
        fit(build(), tmp_path / "file" / "folder")


def test_a_full_disk_keeps_the_last_good_backup(tmp_path):
    """No file may grow to the size of a backup."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(batch, logs):
        if batch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    full = keras.callbacks.LambdaCallback(on_train_batch_begin=fill)
    try:
        with pytest.raises(OSError, match="The last good backup is kept"):
            small_runs.fit(small_runs.build(), tmp_path, full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in tmp_path.iterdir()] == ["backup.npz"]
    whole, resumed = small_runs.build(), small_runs.build()
    small_runs.fit(whole, tmp_path / "whole")
    small_runs.fit(resumed, tmp_path)
    small_runs.check_same(resumed, whole)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a backup of a small run."""
    folder = tmp_path_factory.mktemp("content")
    with pytest.raises(Interruption):
        small_runs.fit(small_runs.build(), folder, Interrupt(2))
    return (folder / "backup.npz").read_bytes()


def damaged(content, draw):
    """One byte changed, left out or added, or the end missing, at a random place."""
    place, byte = draw.integers(len(content)), bytes([draw.integers(256)])
    before, after = content[:place], content[place + 1 :]
    changed = bytes([content[place] ^ (1 + draw.integers(255))])
    return (
        before + changed + after,
        before + after,
        before + byte + content[place:],
        before,
        content + byte,
    )


def test_every_damage_to_a_backup_is_an_error(tmp_path, content):
    file, draw = BackupFile(tmp_path), np.random.default_rng(0)
    places = [damaged(content, draw) for _ in range(400)]
    ends = [content[:-1], content[1:], content[:32], content[-32:], b"PK\x03\x04 torn"]
    ends += [
        content.replace(b"'<f4'", b"'<f2'", 1),
        content.replace(b"seed/", b"send/", 1),
    ]
    for each in (b"", b"no archive", bytes(100), *ends, *sum(places, ())):
        assert each != content
        file.path.write_bytes(each)
        with pytest.raises(OSError, match="cannot read .*backup.npz.* Delete it"):
            file.read()
    file.path.write_bytes(content)
    assert file.read()[0].batch == 2


def archive(folder):
    """A backup of a preview of 0.1.0."""
    position = '{"epoch": 1, "batch": 0, "read": 0, "length": 6}'
    np.savez(folder / "backup.npz", position=position, random=np.zeros(0))


@pytest.mark.parametrize(
    "make",
    [
        archive,
        lambda folder: (folder / "backup.npz").mkdir(),
        lambda folder: (folder / "backup.npz").write_bytes(b""),
    ],
)
def test_what_is_no_backup_says_what_to_do_and_stays(tmp_path, make):
    make(tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.is_dir() or file.read_bytes()
    model = small_runs.build()
    weights = array(model.weights[0])
    with pytest.raises(OSError, match="cannot read .*backup.npz.* Delete it"):
        small_runs.fit(model, tmp_path)
    assert before == (file.is_dir() or file.read_bytes())
    np.testing.assert_array_equal(array(model.weights[0]), weights)


def test_a_backup_is_an_archive_of_numpy(tmp_path, content):
    (tmp_path / "backup.npz").write_bytes(content)
    with np.load(tmp_path / "backup.npz") as values:
        assert values["model/0"].shape == (3, 3)


def test_the_backup_of_another_model_is_refused(tmp_path):
    fit(build(), tmp_path, epochs=0)
    model = build("mmd")
    before = [array(weight) for weight in model.trainable_weights]
    with pytest.raises(ValueError, match="of another model or optimizer"):
        fit(model, tmp_path)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), value)


def reading_ahead():
    data = ShuffledBatches(X, Y, 2)
    data.workers = 2
    return data


@pytest.mark.parametrize(
    "wrong",
    [
        {"save_freq": 0},
        {"save_freq": "batch"},
        {"data": 3},
        {"data": None, "save_freq": 2},
        {"data": X, "save_freq": 2},
        {"data": reading_ahead()},
        {"backup_dir": ""},
        {"backup_dir": 3},
        {"backup_dir": "gs://bucket/run"},
        {"backup_dir": pathlib.Path("s3://bucket/run")},
        {"backup_dir": "file:///tmp/run"},
    ],
)
def test_wrong_arguments_are_named(wrong):
    name, *_ = wrong
    with pytest.raises(ValueError, match=f"`{name}` must .*Received: {name}="):
        BackupAndResume(**{"backup_dir": "folder", **wrong})


@pytest.mark.backends("tensorflow")  # elsewhere `fit` builds it
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
