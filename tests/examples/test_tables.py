"""The table of the main job: cells, words and files."""

import csv
import dataclasses
import types

import methods
import numpy as np
import pytest
import sentences
import tables

SETTINGS = types.SimpleNamespace(sentences=lambda task: task.train.first(10))


def made_up_runs(seeds=2, names=("soft", "ct")):
    """Runs in which each method gains a point in accuracy, and another each seed."""
    runs = []
    for number, name in enumerate(names):
        for seed in range(seeds):
            gain = 0.01 * number * (seed + 1)
            result = {"accuracy": 0.8 + gain, "ece": 0.05, "scaled_ece": 0.04}
            result |= {"nll": 0.5 - 0.1 * number, "scaled_nll": 0.4}
            result["labels"] = np.zeros(7)
            runs.append(
                {
                    "method": methods.METHODS[name].with_weight(0.25),
                    "seed": seed,
                    "temperature": 1.5,
                    "seconds_per_step": 0.5,
                    "cpu_seconds_per_step": 0.75,
                    "measure": types.SimpleNamespace(total=2.0 - 10 * gain),
                    "tests": {"movies": result},
                }
            )
    return runs


def made_up_task():
    texts = sentences.Sentences((["a"],), np.zeros(1, "int32"))
    return sentences.Task("reviews", ["0", "1"], texts, texts, {"movies": texts})


def cells(text, start):
    """The cells of the line that starts so."""
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line[len(start) :].split("  ") if cell.strip()]


def test_table_text():
    text = tables.text(made_up_task(), made_up_runs(), SETTINGS)
    # Differences 1 and 2; half of the interval is 12.706 * 0.7071 / 1.4142.
    accuracy = cells(text, "movies           accuracy, %")
    assert accuracy == ["80.0 ± 0.0", "81.5 ± 0.7", "+1.5 [-4.9, +7.9]"]
    mmd = cells(text, "keys and queries total MMD")
    assert mmd == ["2.000 ± 0.000", "1.850 ± 0.071", "-0.150 [-0.785, +0.485]"]
    assert "1 sentences, mean ± standard deviation of 2 seeds" in text
    assert cells(text, "training         CPU seconds/step")[0] == "0.750 ± 0.000"
    words = " ".join(text.split())
    assert "alignment (ct), weight 0.25, against soft attention, 2 seed(s)" in words
    assert "better: movies NLL" in words and "worse: nothing." in words
    assert "the same: movies ECE" in words
    assert "if it stays so): movies accuracy (4)" in words and "total MMD (" in words


def test_the_table_of_one_seed_and_of_one_method():
    one = tables.text(made_up_task(), made_up_runs(1), SETTINGS)
    assert "±" not in one and "[" not in one and "misses" not in one
    assert cells(one, "movies           accuracy, %") == ["80.0", "81.0", "+1.0"]
    assert "accuracy (one seed shows no spread)" in " ".join(one.split())
    soft = tables.text(made_up_task(), made_up_runs(1)[:1], SETTINGS)
    assert "against" not in soft and cells(soft, "movies           NLL") == ["0.500"]


def test_the_table_of_several_methods():
    runs = made_up_runs(2, ("soft", "label_smoothing", "mmd"))
    text = tables.text(made_up_task(), runs, SETTINGS)
    assert len(cells(text, "movies           accuracy, %")) == 5
    assert "difference of label smoothing" in text
    for title in ("label smoothing", "alignment (mmd), weight 0.25"):
        assert f"{title}, against soft attention" in text


def read(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_table_files(tmp_path):
    tables.write(made_up_task(), made_up_runs(), tmp_path)
    rows = read(tmp_path / "runs.csv")
    assert [row["attention"] for row in rows] == [
        *["soft attention"] * 2,
        *["alignment (ct)"] * 2,
    ]
    assert [float(row["weight"]) for row in rows] == [0.0, 0.0, 0.25, 0.25]
    accuracy = [float(row["accuracy"]) for row in rows]
    assert accuracy == pytest.approx([0.8, 0.8, 0.81, 0.82])
    for name, value in {"scaled_nll": 0.4, "temperature": 1.5, "sentences": 7}.items():
        assert {float(row[name]) for row in rows} == {value}
    rows = read(tmp_path / "table.csv")
    measures = ["accuracy, %", "ECE, %", "ECE scaled, %", "NLL"]
    measures += ["total MMD", "CPU seconds/step"]
    assert [row["measure"] for row in rows] == measures
    assert float(rows[0]["alignment (ct) mean"]) == pytest.approx(81.5)
    assert float(rows[0]["alignment (ct) std"]) == pytest.approx(0.5**0.5)
    assert float(rows[0]["alignment (ct) difference"]) == pytest.approx(1.5)
    assert float(rows[0]["alignment (ct) low"]) == pytest.approx(1.5 - 6.353, abs=1e-3)
    assert rows[3]["alignment (ct) verdict"] == "better"


def test_table_shows_what_the_task_is_judged_by(tmp_path):
    task = dataclasses.replace(made_up_task(), measures=("matthews",))
    runs = made_up_runs(1)
    for run in runs:
        run["tests"]["movies"]["matthews"] = 0.5
    text = tables.text(task, runs, SETTINGS)
    assert "Matthews, %" in text and "accuracy, %" not in text
    tables.write(task, runs, tmp_path)
    header = (tmp_path / "runs.csv").read_text(encoding="utf-8").split("\n")[0]
    assert "matthews" in header and "accuracy" not in header
