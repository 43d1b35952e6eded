"""Where an export may go, and what is left there after a failure."""

import os
import pathlib

import pytest
from execution import BACKEND
from small_classifiers import two_classes

import keras_align
from keras_align import export_saved_model
from keras_align.exporting.arguments import checked_path
from keras_align.exporting.folder import replacing

if BACKEND == "torch":
    pytest.skip("SavedModels are of TensorFlow and JAX", allow_module_level=True)

import tensorflow as tf

pytestmark = [
    pytest.mark.slow_on("jax"),
    pytest.mark.filterwarnings("ignore"),  # of TensorFlow, about its own savers,
]


def contents(folder):
    """The texts of the files in a folder, by name."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_text() for file in files}


def fill(folder, text, *others):
    """Writes a folder with the files of a SavedModel."""
    (folder / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/index", *others):
        (folder / name).write_text(text)
    return contents(folder)


def test_the_working_folder_is_written_and_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, inode = two_classes(), os.stat(".").st_ino
    for _ in range(2):
        assert export_saved_model(model, ".") == tmp_path.resolve()
        assert os.getcwd() == str(tmp_path) and os.stat(".").st_ino == inode
        assert "saved_model.pb" in os.listdir(".")
        assert not [name for name in os.listdir(".") if name.startswith(".")]
    assert tf.saved_model.load(".").signatures
    assert not list(tmp_path.parent.glob(".incomplete-*"))


def test_a_folder_that_holds_the_working_folder_is_refused(tmp_path, monkeypatch):
    before = fill(tmp_path, "former")
    monkeypatch.chdir(tmp_path / "variables")
    with pytest.raises(ValueError, match="must not name a folder that holds the work"):
        export_saved_model(two_classes(), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("fails_at", range(6))
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_at_any_move_brings_the_former_contents_back(
    tmp_path, monkeypatch, fails_at, error
):
    before = fill(tmp_path / "model", "former", "fingerprint.pb")
    inode = (tmp_path / "model").stat().st_ino
    rename, seen = pathlib.Path.rename, []

    def interrupt(path, target):
        seen.append(path.name)
        if len(seen) == fails_at + 1:
            raise error("stopped")
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", interrupt)
    with (
        pytest.raises(error, match="stopped"),
        replacing(tmp_path / "model", "saved_model.pb") as new,
    ):
        fill(new, "new", "fingerprint.pb")
    assert contents(tmp_path) == {f"model/{k}": v for k, v in before.items()}
    assert (tmp_path / "model").stat().st_ino == inode


def test_old_and_new_are_never_mixed(tmp_path, monkeypatch):
    """While files are moved there is no SavedModel, or a whole one."""
    fill(tmp_path, "former")
    rename, states = pathlib.Path.rename, []

    def look(path, target):
        rename(path, target)
        found = contents(tmp_path)
        names = ("saved_model.pb", "variables/index")
        states.append(tuple(found.get(name) for name in names))

    monkeypatch.setattr(pathlib.Path, "rename", look)
    with replacing(tmp_path, "saved_model.pb") as new:
        fill(new, "new")
    assert states == [(None, "former"), (None, None), (None, "new"), ("new", "new")]


def test_an_error_while_writing_keeps_the_former_contents(tmp_path):
    before = fill(tmp_path / "model", "former")
    for path in ("model", "new"):
        with (
            pytest.raises(OSError, match="No space"),
            replacing(tmp_path / path, "saved_model.pb") as new,
        ):
            fill(new, "new")
            raise OSError("No space left on device")
    assert contents(tmp_path) == {f"model/{k}": v for k, v in before.items()}
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_failed_export_keeps_the_former_one_and_the_alignment(tmp_path, monkeypatch):
    before = fill(tmp_path / "model", "former")
    model = two_classes()

    def fail(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="No space"):
        export_saved_model(model, tmp_path / "model")
    assert contents(tmp_path / "model") == before
    assert keras_align.alignment_report(model).aligned


def test_a_link_stays_a_link(tmp_path):
    fill(tmp_path / "target", "former")
    for name in ("target", "missing"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(tmp_path / name)
        with replacing(checked_path(link), "saved_model.pb") as new:
            expected = fill(new, "new")
        assert link.is_symlink() and contents(tmp_path / name) == expected


def test_missing_parents_are_made(tmp_path):
    with replacing(checked_path(tmp_path / "a" / "b"), "saved_model.pb") as new:
        expected = fill(new, "new")
    assert contents(tmp_path / "a" / "b") == expected


UNWRITABLE = {
    "below a file": lambda folder: folder / "file" / "model",
    "too long": lambda folder: folder / ("n" * 300),
    "no folders there": lambda folder: "/proc/keras_align/model",
    "loop": lambda folder: folder / "loop",
    "null byte": lambda folder: f"{folder}/a\0b",
    "empty": lambda folder: "",
    "none": lambda folder: None,
    "number": lambda folder: 3,
}


@pytest.mark.parametrize("where", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_path_that_cannot_be_written_is_refused(tmp_path, where):
    (tmp_path / "file").write_text("text")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"Argument `path` must.*Received: path="):
        export_saved_model(two_classes(), where(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("name", [".", "model"])
def test_a_read_only_folder_is_refused(tmp_path, name):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="that can be written.*PermissionError"):
        export_saved_model(two_classes(), tmp_path / name)
    tmp_path.chmod(0o700)


def test_other_files_are_not_written_over(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    for path in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ValueError, match="`path` must name a new or empty folder"):
            export_saved_model(two_classes(), path)
    with pytest.raises(ValueError, match="local folder"):
        export_saved_model(two_classes(), "gs://bucket/model")


def test_files_beside_a_saved_model_are_kept(tmp_path):
    before = fill(tmp_path, "former", "notes.md")
    with pytest.raises(ValueError, match=r"a SavedModel alone\. .* with notes.md"):
        export_saved_model(two_classes(), tmp_path)
    assert contents(tmp_path) == before
