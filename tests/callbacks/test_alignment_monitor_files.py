"""The files of `AlignmentMonitor`."""

import csv
import io
import struct
import sys

import contracts
import keras
import numpy as np
import pytest
from contracts import tokens
from execution import BACKEND, QUICK_STEP, array

from keras_align import keras_internals
from keras_align.callbacks import AlignmentMonitor
from keras_align.callbacks.head_map import head_map

pytestmark = pytest.mark.slow_on("jax")  # tracing takes long

X = tokens(5, batch=6)
COLUMNS = ["step", "epoch", "layer", "head", "quantity", "value"]


def build():
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((5, 8))
    for name in "ab":
        x = contracts.MULTI_HEAD.make("mmd", name=name)(x, x)
    model = keras.Model(inputs, x)
    model.compile("sgd", "mse", **QUICK_STEP)
    return model


def fit(model, monitor, **options):
    more = {"batch_size": 2, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, X, callbacks=[monitor], **more)


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def as_records(rows):
    """Rows of a file as `monitor.records` has them."""
    return [
        {
            **row,
            "step": int(row["step"]),
            "epoch": int(row["epoch"]),
            "head": int(row["head"]) if row["head"] else None,
            "value": float(row["value"]),
        }
        for row in rows
    ]


def test_the_csv_file_holds_the_records(tmp_path):
    file = tmp_path / "new" / "records.csv"
    monitor = AlignmentMonitor(X[:3], frequency=2, per_head=True, csv_path=file)
    fit(build(), monitor)
    assert list(rows_of(file)[0]) == COLUMNS
    assert as_records(rows_of(file)) == monitor.records
    keys = {tuple(row[x] for x in COLUMNS[:-1]) for row in monitor.records}
    assert len(keys) == len(monitor.records)
    # Before, after 2 steps and at the end: 5 quantities of 2 layers with 2 heads each.
    assert len(keys) == 3 * 5 * 2 * 3 + 2
    assert [x.name for x in file.parent.iterdir()] == ["records.csv"]


def test_a_run_that_resumes_appends_and_drops_what_is_trained_again(tmp_path):
    file, model = tmp_path / "records.csv", build()

    def monitor():
        return AlignmentMonitor(X[:3], frequency=2, csv_path=file)

    fit(model, monitor())
    saved = model.get_weights(), [array(x) for x in model.optimizer.variables]
    first = rows_of(file)
    fit(model, monitor(), epochs=2, initial_epoch=1)
    whole = rows_of(file)
    assert whole[: len(first)] == first
    assert sorted({int(row["step"]) for row in whole}) == [0, 2, 3, 4, 6]
    model.set_weights(saved[0])
    for variable, value in zip(model.optimizer.variables, saved[1], strict=True):
        variable.assign(value)
    with file.open("a") as opened:
        opened.write("6,2,a,,mm")  # killed while it wrote
    fit(model, monitor(), epochs=2, initial_epoch=1)
    again = rows_of(file)
    for row, other in zip(as_records(again), as_records(whole), strict=True):
        assert row.pop("value") == pytest.approx(other.pop("value"), rel=1e-4, abs=1e-6)
        assert row == other
    assert file.read_text().count("step") == 1


def test_a_new_run_replaces_the_file(tmp_path):
    file = tmp_path / "records.csv"
    fit(build(), AlignmentMonitor(X[:3], frequency=1, csv_path=file))
    monitor = AlignmentMonitor(X[:4], csv_path=str(file))
    fit(build(), monitor)
    assert as_records(rows_of(file)) == monitor.records


def test_another_file_stays_as_it_is(tmp_path):
    file, model = tmp_path / "results.csv", build()
    file.write_text("name,value\na,1\n")
    with pytest.raises(ValueError, match="`csv_path` must be a new file.*name,value"):
        fit(model, AlignmentMonitor(csv_path=file))
    assert file.read_text() == "name,value\na,1\n"
    assert int(array(model.optimizer.iterations)) == 0


@pytest.mark.parametrize("name", ["csv_path", "log_dir"])
def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path, name):
    (tmp_path / "file").touch()
    model = build()
    with pytest.raises(OSError, match=f"cannot write.*{name}="):
        fit(model, AlignmentMonitor(**{name: tmp_path / "file" / "below"}))
    assert int(array(model.optimizer.iterations)) == 0


def test_of_several_processes_only_the_first_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_internals, "is_first_process", lambda model: False)
    files = {"csv_path": tmp_path / "records.csv", "log_dir": tmp_path / "logs"}
    monitor = AlignmentMonitor(X[:3], **files)
    fit(build(), monitor)
    assert not list(tmp_path.iterdir())
    assert len(monitor.history) == 2


def events_of(folder):
    """The events of the only file of a folder, by the format of TFRecord."""
    if BACKEND == "tensorflow":
        from tensorflow.compat.v1 import Event
    else:
        from tensorboard.compat.proto.event_pb2 import Event
    (file,) = folder.iterdir()
    assert "tfevents" in file.name
    content, place, events = file.read_bytes(), 0, []
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        events.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += length + 16
    assert events[0].file_version == "brain.Event:2"
    return events[1:]


def test_tensorboard_has_every_value_and_a_picture(tmp_path):
    if BACKEND != "tensorflow":
        pytest.importorskip("tensorboard")
    monitor = AlignmentMonitor(X[:3], per_head=True, log_dir=tmp_path / "logs")
    fit(build(), monitor, epochs=2)
    scalars, images = {}, {}
    for event in events_of(tmp_path / "logs"):
        for value in event.summary.value:
            found = images if value.HasField("image") else scalars
            found[event.step, value.tag] = value
    expected = {
        (row["step"], key): value
        for row in monitor.history
        for key, value in row.items()
        if "/" in key
    }
    for row in monitor.records:
        if row["head"] is not None:
            tag = f"alignment/{row['layer']}/head_{row['head']}/{row['quantity']}"
            expected[row["step"], tag] = row["value"]
    found = {key: value.simple_value for key, value in scalars.items()}
    assert found == pytest.approx(expected, rel=1e-6)
    assert set(images) == {(step, "alignment/mmd") for step in (0, 3, 6)}
    for value in images.values():
        check_picture(value.image.encoded_image_string, value.image)


def check_picture(png, sizes):
    import matplotlib.image

    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    assert pixels.shape == (sizes.height, sizes.width, 4)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20


def test_the_picture_has_a_row_for_every_layer_and_gaps():
    values = {"a": np.array([0.0, 1.0, 0.5]), "b$_$": np.array([np.nan])}
    picture = head_map(values, "title")
    check_picture(picture.png, picture)
    more = head_map({**values, "c": np.ones(6)}, "title")
    assert more.height > picture.height and more.width > picture.width


def test_without_matplotlib_there_is_no_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert head_map({"a": np.ones(2)}, "title") is None


@pytest.mark.backends("jax", "torch")
def test_without_tensorboard_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in ("proto.event_pb2", "proto.summary_pb2", "proto"):
        monkeypatch.delitem(sys.modules, f"tensorboard.compat.{name}", raising=False)
    model = build()
    with pytest.raises(ImportError, match="pip install tensorboard"):
        fit(model, AlignmentMonitor(log_dir=tmp_path))
    assert int(array(model.optimizer.iterations)) == 0
