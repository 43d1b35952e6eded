"""`visual_question_answering.py` as a whole, on small data sets."""

import dataclasses

import numpy as np
import pytest
import question_data
import small_question_sets as small
import visual_question_answering as example
import vqa_results
import vqa_scores
import vqa_training
from vqa_methods import METHODS

pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
SIZES = {
    "num_layers": 1,
    "hidden_dim": 16,
    "num_heads": 2,
    "intermediate_dim": 16,
    "fusion_dim": 16,
    "embedding_dim": 8,
    "batch_size": 8,
    "epochs": 2,
    "dropout": 0.1,
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the example on a small copy of a data set, without XLA."""
    tiny = {
        name: dataclasses.replace(settings, **SIZES)
        for name, settings in vqa_training.OF_DATA_SETS.items()
    }
    monkeypatch.setattr(vqa_training, "OF_DATA_SETS", tiny)

    def run(data, *arguments):
        output = tmp_path / "results"
        folders = ["--data-dir", str(tmp_path), "--features-dir", str(tmp_path)]
        folders += ["--output", str(output), "--no-jit"]
        example.main(["--data", data, *folders, "--samples", "3", *arguments])
        return output

    return run


@pytest.mark.slow
def test_runs_are_paired_and_not_repeated(run, tmp_path, capsys, monkeypatch):
    small.write_easy_vqa(tmp_path / "easy_vqa")
    output = run("easy_vqa", "--methods", "soft,gan")
    printed = capsys.readouterr().out
    assert "AA-GAN - soft attention" in printed
    assert "24 questions for training" in printed
    assert printed.strip().splitlines()[-1].startswith("Table, runs and 3 pictures")
    names = {file.name for file in output.iterdir()}
    assert names == {
        *("runs.csv", "table.txt"),
        *("attention.png", "query_key.png", "coverage.png"),
    }
    rows = vqa_results.Runs(output / "runs.csv").rows
    assert [(row["method"], row["seed"]) for row in rows] == [
        *(("soft", "0"), ("gan", "0"))
    ]
    assert all(0.0 <= float(row["noisy_pavpu"]) <= 1.0 for row in rows)
    soft, aligned = rows
    assert np.isnan(float(soft["alignment_loss"]))
    assert np.isfinite(float(aligned["alignment_loss"]))
    assert float(aligned["parameters"]) > float(soft["parameters"])
    monkeypatch.setattr(vqa_training, "train", lambda *_: pytest.fail("again"))
    run("easy_vqa", "--methods", "soft,gan")
    assert vqa_results.Runs(output / "runs.csv").rows == rows


@pytest.fixture
def task():
    """Questions about images of features, as a task."""
    questions = question_data.Questions(
        ["What is it?", "Is it red?", "Where?"],
        np.array([0, 1, 2]),
        [question_data.only(answer) for answer in ("chair", "yes", "left")],
    )
    data = question_data.QuestionData("small", questions, questions, 3, None)
    vocabulary = question_data.Vocabulary.of(questions)
    features = np.random.default_rng(0).random((3, 4, 6)).astype("float32")
    return vqa_training.Task(data, vocabulary, features)


def test_methods_begin_with_the_same_weights(task, monkeypatch):
    found = []

    class Stopped(Exception):
        pass

    def stop(model, settings, steps):
        found.append({w.path: w.numpy() for w in model.trainable_weights})
        raise Stopped

    monkeypatch.setattr(vqa_training, "compile_model", stop)
    settings = vqa_training.Settings(**SIZES)
    for name, seed in (("soft", 0), ("gan", 0), ("soft", 1)):
        with pytest.raises(Stopped):
            vqa_training.train(task, METHODS[name], settings, seed)
    soft, aligned, other = found
    assert len(aligned) > len(soft)
    for path, weights in soft.items():
        np.testing.assert_array_equal(aligned[path], weights)
    assert not np.array_equal(other["image_projection/kernel"],
                              soft["image_projection/kernel"])  # fmt: skip


def test_without_images_the_question_alone_is_left(task):
    same = dataclasses.replace(task, images=vqa_scores.without_images(task))
    inputs = same.inputs(task.data.test)
    mean = np.mean(task.images, axis=0)
    for image in inputs["image"]:
        np.testing.assert_allclose(image, mean, rtol=1e-6)
    np.testing.assert_array_equal(
        inputs["question"], task.inputs(task.data.test)["question"]
    )


@pytest.mark.slow
def test_a_run_that_diverges_has_no_scores(run, tmp_path, capsys, monkeypatch):
    small.write_easy_vqa(tmp_path / "easy_vqa")
    train = vqa_training.train

    def diverged(*arguments):
        model, result = train(*arguments)
        return model, result | {"loss": np.nan}

    monkeypatch.setattr(vqa_training, "train", diverged)
    output = run("easy_vqa", "--held-out", "--no-pictures", "--methods", "soft")
    (row,) = vqa_results.Runs(output / "runs.csv").rows
    assert row["data"] == "easy_vqa held out"
    assert np.isnan(float(row["accuracy"])) and float(row["seconds_per_step"]) > 0.0
    assert "0 pictures" in capsys.readouterr().out


@pytest.mark.slow
def test_features_of_regions(run, tmp_path, capsys):
    small.write_vqa_v2(tmp_path / "vqa_v2")
    output = run("vqa_v2", "--methods", "soft")
    (row,) = vqa_results.Runs(output / "runs.csv").rows
    assert row["data"] == "vqa_v2"
    assert np.isfinite(float(row["accuracy"]))
    assert np.isfinite(float(row["noisy_accuracy"]))
    assert "3 pictures" in capsys.readouterr().out


@pytest.mark.slow
def test_open_and_closed_questions_of_grid_features(run, tmp_path, capsys):
    small.write_vqa_rad(tmp_path / "vqa_rad")
    features = np.random.default_rng(0).random((2, 4, 6)).astype("float16")
    np.save(tmp_path / "vqa_rad_efficientnet_lite0.npy", features)
    wordnet = ["--wordnet", str(small.write_wordnet(tmp_path / "wordnet"))]
    output = run("vqa_rad", "--methods", "soft", "--question-only", *wordnet)
    (row,) = vqa_results.Runs(output / "runs.csv").rows
    accuracy = [float(row[f"accuracy_{kind}"]) for kind in ("open", "closed")]
    assert float(row["accuracy"]) == pytest.approx(np.mean(accuracy))
    assert row["images"] == "none"
    assert 0.0 <= float(row["wups"]) <= float(row["wups_0"]) <= 1.0
    assert "accuracy of closed questions, %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "soft,soft"], "different ones"),
        (["--methods", "lstm"], "different ones"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--samples", "1"], "--samples must be 0"),
        (["--weight", "-1"], "--weight"),
    ],
)
def test_options_that_are_wrong(arguments, message, capsys):
    with pytest.raises(SystemExit):
        example.parse_arguments(arguments)
    assert message in capsys.readouterr().err


def test_a_data_set_that_is_not_there(tmp_path, capsys):
    options = ["--data", "daquar", "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match=r"daquar needs --data-dir"):
        example.main(options)
    with pytest.raises(SystemExit, match=r"error: .*train\.jsonl\.gz"):
        example.main([*options, "--data-dir", str(tmp_path)])
