"""The output of the examples begins with a line of their own."""

import pathlib

import finetune_bert
import isolated
import pytest

pytestmark = pytest.mark.backends("tensorflow")

EXAMPLES = pathlib.Path(finetune_bert.__file__).parents[1]


@pytest.fixture
def default_log(monkeypatch):
    """The level of TensorFlow's log is not set, as where users start a script."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)


@pytest.mark.slow
def test_an_example_that_loads_tensorflow_says_nothing_else(default_log, tmp_path):
    (tmp_path / "metadata.json").write_text('{"class_names": ["a", "b"]}')
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"not a model")
    script = EXAMPLES / "serving" / "predict_saved_model.py"
    process = isolated.start(script, tmp_path, "a fine film")
    output, errors = process.communicate()
    assert process.returncode == 1 and output == ""
    assert errors.startswith(f"error: {folder} cannot be loaded")
    assert errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", sorted(file.name for file in EXAMPLES.glob("*/*.py"))
)
def test_what_an_example_says_begins_with_its_usage(default_log, script):
    (file,) = EXAMPLES.glob(f"*/{script}")
    if "if __name__" not in file.read_text(encoding="utf-8"):
        pytest.skip("a module of the scripts")
    process = isolated.start(file, "--help")
    output, errors = process.communicate()
    assert output.startswith(f"usage: {script}") and errors == ""
