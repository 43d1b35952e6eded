"""`glue.py` and `domain_generalization.py` as wholes, on a tiny model."""

import json

import attacks_by_people
import domain_generalization
import domains
import finetuning
import glue
import estimating
import kept_runs
import multiple_choice
import numpy as np
import pytest
import sentences
from conftest import made_up_sentences

pytestmark = pytest.mark.backends("tensorflow")


def write(file, header, rows):
    lines = ["\t".join(header), *("\t".join(map(str, row)) for row in rows)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def pairs(count, labels, seed=0):
    first = made_up_sentences(count, seed).columns[0]
    second = made_up_sentences(count, seed + 1).columns[0]
    found = [labels[k % len(labels)] for k in range(count)]
    return list(zip(first, second, found, strict=True))


PAIR = ("sentence1", "sentence2", "label")
SHORT = ["--epochs", "1", "--batch-size", "8", "--learning-rate", "1e-3", "--no-jit"]


def test_tasks_of_classes_and_of_numbers(tmp_path, tiny_preset, monkeypatch, capsys):
    for name, labels in (("MRPC", (0, 1)), ("STS-B", (0.5, 2.0, 4.5))):
        for file, count in (("train.tsv", 40), ("dev.tsv", 10)):
            write(tmp_path / name / file, PAIR, pairs(count, labels))
    arguments = ["--data-dir", tmp_path, "--preset", tiny_preset, *SHORT]
    arguments += ["--tasks", "MRPC,STS-B", "--compare", "soft", "--seeds", "2"]
    arguments = [*map(str, arguments), "--output", str(tmp_path / "out")]
    glue.main(arguments)
    printed = capsys.readouterr().out
    assert "F1, %" in printed and "Pearson, %" in printed
    rows = kept_runs.open_runs(tmp_path / "out" / "runs.csv").rows
    assert [row["task"] for row in rows] == ["MRPC"] * 2 + ["STS-B"] * 2
    assert all(0 < float(row["f1"]) < 1 or float(row["f1"]) == 0 for row in rows[:2])
    assert all(np.isfinite(float(row["scaled_brier"])) for row in rows[:2])
    assert all(np.isnan(float(row["matthews"])) for row in rows)  # not of MRPC
    assert all(np.isnan(float(row["accuracy"])) for row in rows[2:])
    settings = rows[0]["settings"]
    assert "dropout=0.0" in settings and "warm_up=0.25" in settings  # the paper's
    assert str(tiny_preset.parent) not in settings
    monkeypatch.setattr(kept_runs, "keep", lambda *_: pytest.fail("again"))
    glue.main(arguments)
    assert "STS-B, 2 seed(s)" in capsys.readouterr().out
    file = tmp_path / "MRPC" / "dev.tsv"
    file.write_text(file.read_text().replace("film", "plot"))  # other data
    with pytest.raises(pytest.fail.Exception, match="again"):
        glue.main(arguments)


def test_measures_against_their_definitions():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(2), 60)
    labels = rng.integers(2, size=60)
    found = finetuning.score(probabilities.astype("float32"), labels)
    predicted = probabilities.argmax(-1)
    both = np.sum(predicted & labels)
    wanted = 2 * both / (predicted.sum() + labels.sum())
    assert found["f1"] == pytest.approx(wanted)
    distances = [(p[0] - (y == 0)) ** 2 + (p[1] - y) ** 2
                 for p, y in zip(probabilities, labels, strict=True)]  # fmt: skip
    assert found["brier"] == pytest.approx(np.mean(distances), rel=1e-5)
    numbers = rng.normal(size=60)
    scores = finetuning.score_numbers(numbers, labels + 0.1 * numbers)
    one, two = numbers - numbers.mean(), labels + 0.1 * numbers
    two = two - two.mean()
    pearson = (one @ two) / np.sqrt((one @ one) * (two @ two))
    assert scores["pearson"] == pytest.approx(pearson)
    assert finetuning.score_numbers(numbers, np.exp(numbers))["spearman"] == 1.0
    assert np.isnan(finetuning.score_numbers(np.ones(3), numbers[:3])["pearson"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "MRPC,XNLI"], "--tasks takes different names"),
        (["--compare", "soft,hard"], "--compare takes different names"),
        ([], "needs a folder for each. Received: ., without CoLA"),
        (["--dropout", "1"], r"--dropout must be in \[0, 1\)"),
        (["--learning-rate", "0"], "--learning-rate must be positive"),
    ],
)
def test_wrong_options_of_glue(arguments, message, capsys):
    with pytest.raises(SystemExit):
        glue.parse_arguments(["--data-dir", ".", *arguments])
    assert message.replace("\\", "") in capsys.readouterr().err


def test_numbers_to_predict_have_the_mean_0_and_the_deviation_1():
    numbers = np.array([0.0, 2.5, 5.0, 1.5], "float32")
    train = sentences.Sentences((["a"] * 4,), numbers)
    task = sentences.Task("numbers", [], train, train, {"all": train})
    found = finetuning.targets(task, train)
    assert found.shape == (4, 1) and found.dtype == "float32"
    np.testing.assert_allclose([found.mean(), found.std()], [0.0, 1.0], atol=1e-6)
    assert np.corrcoef(found[:, 0], numbers)[0, 1] == pytest.approx(1.0)


def test_a_task_without_files(tmp_path):
    with pytest.raises(SystemExit, match="error: Expected train.tsv with .* task CoLA"):
        glue.main(["--data-dir", str(tmp_path), "--tasks", "CoLA"])


def test_numbers_are_names_of_classes_where_they_can_be(tmp_path):
    file = write(tmp_path / "a.tsv", ("sentence", "label"), [("a", 1), ("b", 1)])
    assert domains.read(file, ["1", "2"])[0].labels.tolist() == [0, 0]
    assert domains.read(file, ["bad", "good"])[0].labels.tolist() == [1, 1]


def test_domains_of_other_columns(tmp_path):
    train = write(tmp_path / "a.tsv", PAIR, pairs(8, "ab"))
    other = write(tmp_path / "b.tsv", ("sentence", "label"), [("a", "a"), ("b", "b")])
    with pytest.raises(ValueError, match=r"of 2 column\(s\) for there"):
        domains.task("here", train, train, {"there": other})


def test_more_tokens_than_the_preset_takes(tiny_preset):
    settings = finetuning.Settings(tiny_preset, sequence_length=64)
    with pytest.raises(ValueError, match="--sequence-length must be at most the 32"):
        finetuning.build(settings, 2, seed=0)


def test_presets_of_one_name_are_told_apart(tmp_path):
    names = set()
    for number in (1, 2):
        folder = tmp_path / str(number) / "preset"
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(number))
        names.add(kept_runs.named(str(folder)))
    assert len(names) == 2 and all(name.startswith("preset-") for name in names)
    assert kept_runs.named("bert_tiny_en_uncased") == "bert_tiny_en_uncased"


def test_one_domain_is_cut_in_half_and_others_are_whole(tmp_path):
    classes = ("contradiction", "entailment", "neutral")
    train = write(tmp_path / "a.txt", ("gold_label", *PAIR[:2]), [
        (label, one, two) for one, two, label in [*pairs(30, classes), ("x", "y", "-")]
    ])  # fmt: skip
    dev = write(tmp_path / "b.tsv", PAIR, pairs(20, classes, seed=5))
    other = write(tmp_path / "c.tsv", PAIR, pairs(12, classes, seed=9))
    task = domains.task("here", train, dev, {"there": other})
    assert task.classes == list(classes) and len(task.train) == 30
    assert len(task.validation) == len(task.tests["here"]) == 10
    assert len(task.tests["there"]) == 12
    halves = [
        set(zip(*x.columns, strict=True)) for x in (task.validation, task.tests["here"])
    ]
    assert len(halves[0] | halves[1]) == 20


CHOICES = ("sent", "ending0", "ending1", "ending2", "ending3", "label")


def choices(count):
    columns = [made_up_sentences(count, seed).columns[0] for seed in range(5)]
    labels = [k % 4 for k in range(count)]
    return list(zip(*columns, labels, strict=True))


def test_folds_have_their_rows(tmp_path):
    file = write(tmp_path / "all.tsv", CHOICES, choices(12))
    rows = {"train": [5, 1, 7, 3], "dev": [0], "test": [2, 4]}
    folds = tmp_path / "folds.json"
    folds.write_text(json.dumps({"3": rows, "4": rows | {"test": [5]}}))
    with pytest.raises(ValueError, match="to be different integers"):
        domains.fold("here", file, folds, 4)
    with pytest.raises(ValueError, match=r'of the fold "0".*the folds \[\'3\''):
        domains.fold("here", file, folds, 0)
    task = domains.fold("here", file, folds, 3)
    wanted = choices(12)
    for name, part in (("train", task.train), ("dev", task.validation)):
        assert list(zip(*part.columns, strict=True)) == [
            wanted[n][:5] for n in rows[name]
        ]
    assert task.tests["here"].labels.tolist() == [2, 0]


def test_logits_of_choices_go_with_the_endings(tiny_preset):
    settings = finetuning.Settings(tiny_preset, sequence_length=16)
    model = multiple_choice.build(settings, 4, seed=0)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=x.shape) for x in model.get_weights()])
    columns = tuple([row[k] for row in choices(6)] for k in range(5))
    found = []
    for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
        ordered = (columns[0], *(columns[1 + k] for k in order))
        given = sentences.Sentences(ordered, np.zeros(6, "int32"))
        found.append(
            finetuning.predict(model, finetuning.encode(model.preprocessor, given))
        )
    assert np.ptp(found[0]) > 1e-4
    np.testing.assert_allclose(found[0][:, [2, 0, 3, 1]], found[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["movies", "choices"])
def test_domains_as_a_whole(tmp_path, tiny_preset, kind, capsys):
    arguments = ["--preset", tiny_preset, *SHORT, "--seeds", "2", "--test-size", "8"]
    if kind == "choices":
        file = write(tmp_path / "all.tsv", CHOICES, choices(40))
        rows = {"train": list(range(24)), "dev": [30, 31], "test": list(range(32, 40))}
        folds = tmp_path / "folds.json"
        folds.write_text(json.dumps({"0": rows, "1": rows}))
        arguments += ["--train", file, "--folds", folds, "--name", "SWAG"]
    else:
        write(tmp_path / "a.tsv", PAIR, pairs(24, "ab"))
        arguments += ["--train", tmp_path / "a.tsv", "--dev", tmp_path / "a.tsv"]
        arguments += ["--other", f"there={tmp_path / 'a.tsv'}", "--name", "here"]
    arguments += ["--output", tmp_path / "out"]
    domain_generalization.main(list(map(str, arguments)))
    printed = capsys.readouterr().out
    assert "Brier scaled" in printed and "label smoothing" in printed
    assert ("there, 2 seed(s)" in printed) == (kind == "movies")


@pytest.mark.parametrize("wrong", ["--train=a", "--dev=a", "--other=b=c"])
def test_a_domain_needs_its_files(wrong, capsys):
    with pytest.raises(SystemExit):
        domain_generalization.parse_arguments([wrong])
    assert "--train takes either --dev" in capsys.readouterr().err


def test_sets_that_people_made(tmp_path):
    task = sentences.Task("MNLI", ["contradiction", "entailment", "neutral"], *[
        sentences.Sentences((["a"], ["b"]), np.zeros(1, "int32"))
    ] * 2, {})  # fmt: skip
    file = tmp_path / "dev.json"
    rows = [{"premise": "p", "hypothesis": "h", "label": k} for k in range(3)]
    file.write_text(json.dumps({"mnli": rows}))
    assert attacks_by_people.read(file, task).labels.tolist() == [1, 2, 0]
    revised = write(
        tmp_path / "r.tsv", PAIR, [("p", "h", "neutral"), ("p", "h", "entailment")]
    )
    found = attacks_by_people.read(revised, task)
    assert found.labels.tolist() == [2, 1]

    def predict(texts):
        assert texts == [("p", "h")] * 2
        return np.eye(3)[[2, 2]]

    assert attacks_by_people.accuracy(predict, found) == 0.5
    with pytest.raises(ValueError, match="but not movies"):
        attacks_by_people.read_advglue(
            file, sentences.Task("movies", [], None, None, {})
        )
