"""The files that comparisons keep their runs in."""

import math

import methods
import pytest
import runs_file

from keras_align.alignments import ConditionalTransportAlignment


@pytest.fixture
def file(tmp_path):
    """A file of three runs."""
    file = tmp_path / "runs.csv"
    runs = open_runs(file)
    for seed in range(3):
        runs.add({"method": "ct, all", "seed": seed}, {"accuracy": seed / 4})
    return file


def open_runs(file):
    return runs_file.Runs(file, ("method", "seed"), ("accuracy", "nll"))


def test_runs_are_found_again(file):
    runs = open_runs(file)
    assert [float(row["accuracy"]) for row in runs.rows] == [0.0, 0.25, 0.5]
    assert all(math.isnan(float(row["nll"])) for row in runs.rows)
    assert runs.find({"method": "ct, all", "seed": 1}) == runs.rows[1]
    assert runs.find({"method": "ct", "seed": 1}) is None


def test_a_last_row_that_was_cut_off_is_removed(file):
    whole = file.read_text()
    file.write_text(whole[:-3])
    assert len(open_runs(file).rows) == 2
    assert file.read_text() == whole[: whole[:-1].rfind("\n") + 1]


def test_the_byte_order_mark_of_a_spreadsheet_is_read(file):
    rows = open_runs(file).rows
    file.write_text("\ufeff" + file.read_text(), encoding="utf-8")
    assert open_runs(file).rows == rows


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"ct, all",1', '""ct, all",1', "line 3: expected a row of CSV"),
        (",0.25,", ",0.25,,", "line 3: expected 4 cells. Received: 5"),
        (",0.25,", ",0;25,", "line 3, column accuracy: expected a number.*'0;25'"),
        (",0.25,", ",,", "line 3, column accuracy: expected a number.*''"),
        ("method,", "name,", "must have the columns method,seed.*Received: name,"),
        ("method,seed,accuracy,nll\n", "\0" * 200_000 + "\n", "line 1|columns"),
    ],
)
def test_a_damaged_file_is_refused_and_stays(file, old, new, message):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    before = file.read_text()
    with pytest.raises(ValueError, match=message):
        open_runs(file)
    assert file.read_text() == before


def test_a_run_is_named_by_the_defaults_of_its_alignment(monkeypatch):
    ct, reached = methods.METHODS["ct"], methods.METHODS["ct_all_layers"]
    before = ct.options
    assert "projections_only=True" in before and "matched=mean" in before
    assert reached.options == before.replace("only=True", "only=False")
    monkeypatch.setattr(
        ConditionalTransportAlignment, "default_projections_only", False
    )
    assert ct.options == before.replace("only=True", "only=False")
    assert methods.METHODS["label_smoothing"].options == "label_smoothing=0.1"
    assert methods.METHODS["soft"].options == ""
