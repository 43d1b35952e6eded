"""`benchmarks/fine_tuning.py` goes on where it was, and its tables."""

import importlib
import pathlib
import sys
import types

import methods
import pytest
import sentences

pytestmark = pytest.mark.backends("tensorflow")

BENCHMARKS = pathlib.Path(sentences.__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    pytest.importorskip("keras_nlp")
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("fine_tuning")


class MadeUpRuns:
    """Stands for `RepeatedRuns`; every seed adds a hundredth to the accuracy."""

    made, ran = [], []

    def __init__(self, task, method, settings):
        self.method = method
        self.made.append(method.name)

    def run(self, seed):
        self.ran.append((self.method.name, seed))
        gain = 0.0 if self.method.name == "soft" else 0.1
        scores = {"accuracy": 0.5 + gain + 0.01 * seed, "ece": 0.2 - gain, "nll": 0.6}
        scores |= {"scaled_ece": 0.05, "scaled_nll": 1 / 3}
        names = [*sentences.DOMAINS, "movies with typos"]
        return {
            "tests": {name: dict(scores) for name in names},
            "measure": types.SimpleNamespace(total=2.0 - gain),
            "temperature": 1.5,
            "alignment_loss": 0.25,
            "seconds_per_step": 0.5,
            "cpu_seconds_per_step": 0.75,
        }


@pytest.fixture
def run(benchmark, monkeypatch, tmp_path, tiny_task):
    """Runs the benchmark on made-up runs; returns the file and what was run."""
    monkeypatch.setattr(benchmark.repeated_runs, "RepeatedRuns", MadeUpRuns)
    monkeypatch.setattr(benchmark.fetching, "rated_sentences", lambda: None)
    monkeypatch.setattr(benchmark.fetching, "minilm", lambda: "preset")
    monkeypatch.setattr(benchmark.sentences, "rated_sentences", lambda *_: tiny_task)
    file = tmp_path / "folder" / "runs.csv"

    def run(*arguments):
        MadeUpRuns.made, MadeUpRuns.ran = [], []
        benchmark.main(["--output", str(file), *map(str, arguments)])
        return file, MadeUpRuns.ran

    return run


def test_runs_that_are_in_the_file_are_not_repeated(run):
    file, ran = run("--methods", "soft", "ct", "--seeds", 2)
    assert ran == [("soft", 0), ("soft", 1), ("ct", 0), ("ct", 1)]
    before = file.read_text()
    assert run("--methods", "soft", "ct", "--seeds", 2)[1] == []
    assert MadeUpRuns.made == [] and file.read_text() == before
    assert run("--methods", "soft", "ct", "--seeds", 3)[1] == [("soft", 2), ("ct", 2)]
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")  # the last run is lost
    assert run("--methods", "soft", "ct", "--seeds", 3)[1] == [("ct", 2)]
    assert file.read_text().splitlines() == lines


@pytest.mark.parametrize(
    "option",
    [("--weight", 0.5), ("--learning-rate", 1e-3), ("--matched", "covariance")],
)
def test_runs_with_other_settings_are_other_runs(run, option):
    run("--methods", "ct", "--seeds", 1)
    assert run("--methods", "ct", "--seeds", 1, *option)[1] == [("ct", 0)]
    assert run("--methods", "ct", "--seeds", 1, *option)[1] == []


def test_a_file_of_something_else_is_refused(run, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="has other columns"):
        run("--methods", "soft")


def test_the_numbers_are_short(run):
    file, _ = run("--methods", "soft", "--seeds", 1)
    header, row = (line.split(",") for line in file.read_text().splitlines())
    assert row[header.index("Amazon scaled_nll")] == "0.33333"
    assert len(header) == len(row) and sum(map(len, row)) < 300


def lines_of(text, name):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {name} |")
    ]


def test_tables(run, capsys):
    run("--methods", "soft", "ct", "--seeds", 4)
    text = capsys.readouterr().out
    (soft,) = lines_of(text, "soft")
    means, paired = lines_of(text, "ct")
    assert soft[:6] == ["soft", "0.0", "no", "4", "51.5 ± 1.3", "20.0 ± 0.0"]
    assert means[:5] == ["ct", "0.02", "mean", "4", "61.5 ± 1.3"]
    assert paired[4:7] == [
        "+10.0 [+10.0, +10.0] *",
        "-10.0 [-10.0, -10.0] *",
        "+0.000 [+0.000, +0.000]",
    ]
    scaled, difference = lines_of(text, "soft, temperature scaled")
    assert scaled[4:7] == ["51.5 ± 1.3", "5.0 ± 0.0", "0.333 ± 0.000"]
    assert difference[5] == "-15.0 [-15.0, -15.0] *"
    assert "train size 1024" in text and "[95% interval" in text


def test_summary_means_over_the_other_domains(benchmark):
    row = {f"{test} {key}": "0" for test in benchmark.TESTS for key in benchmark.SCORES}
    row["mmd"] = "2"
    row |= {"Amazon accuracy": "0.3", "NYT accuracy": "0.6", "tweets accuracy": "0.9"}
    row["movies with typos nll"] = "0.7"
    columns = list(benchmark.fine_tuning_tables.COLUMNS)
    summary = dict(zip(columns, benchmark.fine_tuning_tables.summary(row), strict=True))
    assert summary["out of domain acc, %"] == pytest.approx(60.0)
    assert summary["typos NLL"] == pytest.approx(0.7)
    assert (summary["movies acc, %"], summary["MMD"]) == (0.0, 2.0)


def test_methods_take_weight_and_moments(benchmark):
    arguments = ["--weight", "0.5", "--matched", "none"]
    arguments = benchmark.parse_arguments(arguments)
    ct, matched = (benchmark.choose_method(n, arguments) for n in ("ct", "matched"))
    assert (ct.alignment_weight, ct.matched) == (0.5, None)
    assert matched == methods.METHODS["matched"]
    with pytest.raises(SystemExit):
        benchmark.parse_arguments(["--weight", "nan"])
