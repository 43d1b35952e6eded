"""`glue.py` and `domain_generalization.py` as wholes, on a tiny model."""

import csv
import json

import attacks_by_people
import command_line
import domain_generalization
import domains
import estimating
import finetuning
import glue
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


@pytest.fixture
def kept(monkeypatch):
    """The runs that a script has kept, in their order."""
    found, keep = [], kept_runs.keep

    def keep_and_note(run, *rest):
        found.append(run)
        keep(run, *rest)

    monkeypatch.setattr(kept_runs, "keep", keep_and_note)
    return found


def pairs(count, labels, seed=0):
    first = made_up_sentences(count, seed).columns[0]
    second = made_up_sentences(count, seed + 1).columns[0]
    found = [labels[k % len(labels)] for k in range(count)]
    return list(zip(first, second, found, strict=True))


PAIR = ("sentence1", "sentence2", "label")
SHORT = ["--epochs", "1", "--batch-size", "8", "--learning-rate", "1e-3", "--no-jit"]


def test_tasks_of_classes_and_of_numbers(
    tmp_path, tiny_preset, kept, monkeypatch, capsys
):
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
    for row, run in zip(rows[:2], kept[:2], strict=True):
        test = run["tests"]["MRPC"]
        right, predicted = test["labels"] == 1, test["probabilities"].argmax(-1) == 1
        wanted = 2 * (right & predicted).sum() / (right.sum() + predicted.sum())
        assert right.sum() == 5 and float(row["f1"]) == pytest.approx(wanted, abs=1e-5)
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


def test_labels_of_another_file_are_classes_of_training(tmp_path):
    train = write(tmp_path / "a.tsv", PAIR, pairs(20, ("duplicate", "not_duplicate")))
    header = ("question1", "question2", "is_duplicate")
    other = write(tmp_path / "b.tsv", header, [("a", "b", 1), ("c", "d", 0)])
    files = train, train, {"there": other}
    wanted = r"'not_duplicate'\], as labels in .*b.tsv.*as 0=duplicate.*\['0', '1'\]"
    with pytest.raises(ValueError, match=wanted):
        domains.task("here", *files)
    names = {"0": "not_duplicate", "1": "duplicate"}
    task = domains.task("here", *files, names=names)
    test = task.tests["there"]
    labels = [task.classes[label] for label in test.labels]
    found = dict(zip(test.columns[0], labels, strict=True))
    assert found == {"a": "duplicate", "c": "not_duplicate"}
    with pytest.raises(ValueError, match=r"name the classes .*Received: \['same'\]"):
        domains.task("here", *files, names={"0": "not_duplicate", "1": "same"})
    with pytest.raises(ValueError, match=r"only the classes .*b.tsv.*\['0', '1'\]"):
        domains.task("here", train, other, {}, names=names)  # of the same domain


def test_labels_that_are_renamed_into_each_other():
    classes, names = ["1", "2"], {"0": "1", "1": "2"}
    assert domains.rename(["0", "1"], classes, names, "b") == ["1", "2"]
    assert domains.rename(["2", "1"], classes, names, "b") == ["2", "1"]
    assert domains.rename(["1"], classes, {}, "b") == ["1"]
    with pytest.raises(ValueError, match=r"in b .*Received: \['1'\], which are both"):
        domains.rename(["1"], classes, names, "b")
    with pytest.raises(ValueError, match=r"in b, .*--labels lacks \['1'\]"):
        domains.rename(["0", "1"], classes, {"0": "1"}, "b")


@pytest.mark.parametrize("wrong", ["0", "0=", "=a", "0=a,0=b", ""])
def test_labels_on_the_command_line(wrong):
    assert command_line.labels("0=no, 1 =yes") == {"0": "no", "1": "yes"}
    with pytest.raises(command_line.argparse.ArgumentTypeError, match="LABEL=CLASS"):
        command_line.labels(wrong)


def test_labels_of_no_file(capsys):
    arguments = ["--train=a", "--dev=b", "--labels=0=no"]
    with pytest.raises(SystemExit):
        domain_generalization.parse_arguments(arguments)
    assert "--labels needs --other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("a", r"two classes at least. Received: \['a'\]"),
        (np.linspace(0, 5, 40), "40 rows of 40 classes.*not numbers on a scale"),
        ((0.5, 1.0, 1.5), r"30 rows of 3 classes, as \['0.5'.*not numbers on a scale"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, message):
    file = write(tmp_path / "a.tsv", PAIR, pairs(max(len(labels), 30), labels))
    with pytest.raises(ValueError, match=message):
        domains.task("here", file, file, {})


def test_labels_with_spaces(tmp_path):
    file = write(tmp_path / "a.tsv", PAIR, pairs(40, ("a", "a ", " b", "b\r")))
    assert domains.task("here", file, file, {}).classes == ["a", "b"]


def test_domains_of_other_columns(tmp_path):
    train = write(tmp_path / "a.tsv", PAIR, pairs(20, "ab"))
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
    wrong = {"5": rows | {"train": 5}, "6": [rows], "7": rows | {"dev": [True]}}
    folds.write_text(json.dumps({"3": rows, "4": rows | {"test": [5]}} | wrong))
    for number in (5, 6):
        with pytest.raises(ValueError, match=f'each a list, of the fold "{number}"'):
            domains.fold("here", file, folds, number)
    with pytest.raises(ValueError, match="to be different integers"):
        domains.fold("here", file, folds, 7)
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


def test_choices_have_four_endings(tmp_path):
    rows = [row for row in choices(12) if row[-1] in (1, 3)]
    found, classes = domains.read(write(tmp_path / "a.tsv", CHOICES, rows))
    assert classes == ["0", "1", "2", "3"] and set(found.labels) == {1, 3}
    file = write(tmp_path / "b.tsv", CHOICES, [*rows, (*rows[0][:5], 4)])
    with pytest.raises(ValueError, match=r"only the classes .*b.tsv.*\['4'\]"):
        domains.read(file)


def test_choices_as_of_swag(tmp_path):
    names = "video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source"
    row = ["v", 7, 'A man, "A", sits. He', 'A man, "A", sits.', "He", "gold"]
    with open(tmp_path / "train.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["", *names, *CHOICES[1:]])
        writer.writerow([0, *row, "stands up, too.", "sings.", "runs.", "eats.", 2])
    found, _ = domains.read(tmp_path / "train.csv")
    assert [column[0] for column in found.columns] == [
        'A man, "A", sits. He', "stands up, too.", "sings.", "runs.", "eats."
    ]  # fmt: skip
    assert found.labels.tolist() == [2]


def test_choices_take_the_time_of_their_endings(tiny_preset, monkeypatch, capsys):
    monkeypatch.setattr(estimating, "matrix_product_speed", lambda: 1.0)
    settings = finetuning.Settings(tiny_preset, sequence_length=16)
    columns = tuple([row[k] for row in choices(12)] for k in range(5))
    seconds = []
    for count in (1, 2, 5):
        part = sentences.Sentences(columns[:count], np.zeros(12, "int32"))
        task = sentences.Task("here", ["0", "1"], part, part, {"here": part})
        seconds.append(estimating.estimate_seconds(task, settings, 1, 1))
    once = estimating.SECONDS_ONCE + estimating.SECONDS_PER_METHOD
    once += estimating.SECONDS_PER_RUN
    assert seconds[0] == seconds[1] > 2 * once
    assert seconds[2] - once == pytest.approx(4 * (seconds[0] - once))
    estimating.announce(task, settings, 1, 1)
    assert "on 12 choices of 4 texts of up to 16 tokens" in capsys.readouterr().out


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
def test_folds_as_a_whole(tmp_path, tiny_preset, kept, capsys):
    file = write(tmp_path / "all.tsv", CHOICES, choices(40))
    tests = [list(range(32, 40)), [1, 5, 9, 13, 17, 21]]
    parts = [
        {"train": list(range(24)), "dev": [30, 31], "test": tests[0]},
        {"train": list(range(22, 40)), "dev": [2, 3], "test": tests[1]},
    ]
    folds = tmp_path / "folds.json"
    folds.write_text(json.dumps(dict(enumerate(parts))))
    arguments = ["--train", file, "--folds", folds, "--name", "SWAG", *SHORT]
    arguments += ["--preset", tiny_preset, "--seeds", "2", "--compare", "soft,ct"]
    domain_generalization.main([*map(str, arguments), f"--output={tmp_path / 'out'}"])
    assert "SWAG, 2 seed(s)" in capsys.readouterr().out
    assert [run["seed"] for run in kept] == [0, 1, 0, 1]
    rows = kept_runs.open_runs(tmp_path / "out" / "runs.csv").rows
    for run, row in zip(kept, rows, strict=True):
        labels = run["tests"]["SWAG"]["labels"]
        assert labels.tolist() == [k % 4 for k in tests[run["seed"]]]
        own = domains.fold("SWAG", file, folds, run["seed"])
        assert row["data"] == own.digest
    assert len({row["data"] for row in rows}) == 2


@pytest.mark.slow
def test_domains_as_a_whole(tmp_path, tiny_preset, kept, capsys):
    train = write(tmp_path / "a.tsv", PAIR, pairs(24, "ab"))
    dev = write(tmp_path / "b.tsv", PAIR, pairs(16, "ab", seed=2))
    other = write(tmp_path / "c.tsv", PAIR, pairs(12, "110", seed=4))
    arguments = ["--train", train, "--dev", dev, "--other", f"there={other}", *SHORT]
    arguments += ["--name", "here", "--labels", "0=a,1=b", "--preset", tiny_preset]
    arguments += ["--seeds", "2", "--test-size", "12", "--output", tmp_path / "out"]
    domain_generalization.main(list(map(str, arguments)))
    printed = capsys.readouterr().out
    assert "Brier scaled" in printed and "label smoothing" in printed
    assert "here, 2 seed(s)" in printed and "there, 2 seed(s)" in printed
    assert len(kept) == 6
    names = {"0": "a", "1": "b"}
    task = domains.task("here", train, dev, {"there": other}, 12, names)
    assert set(task.tests["here"].labels) == {0, 1} and len(task.tests["here"]) == 8
    assert task.tests["there"].labels.sum() == 8
    for run in kept:
        for name, test in task.tests.items():
            np.testing.assert_array_equal(run["tests"][name]["labels"], test.labels)
    rows = kept_runs.open_runs(tmp_path / "out" / "runs.csv").rows
    assert {(row["test"], row["data"]) for row in rows} == {
        ("here", task.digest),
        ("there", task.digest),
    }


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


def test_labels_of_sets_that_people_made(tmp_path):
    nothing = sentences.Sentences((["a"],), np.zeros(1, "int32"))
    task = sentences.Task("SST-2", ["negative", "positive"], nothing, nothing, {})
    file = tmp_path / "dev.json"
    rows = [{"sentence": "s", "label": k} for k in (1, 0)]
    file.write_text(json.dumps({"sst2": rows}))
    table = write(tmp_path / "r.tsv", ("sentence", "label"), [("s", 1), ("t", 0)])
    for each in (file, table):
        with pytest.raises(ValueError, match="--labels with a class for each"):
            attacks_by_people.read(each, task)
        names = {"0": "negative", "1": "positive"}
        assert attacks_by_people.read(each, task, names).labels.tolist() == [1, 0]
