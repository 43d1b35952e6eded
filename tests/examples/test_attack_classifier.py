"""`attack_classifier.py` as a whole, on a tiny model."""

import json

import attack_classifier as example
import pytest

WORDS = ["good", "bad"]
pytestmark = pytest.mark.backends("tensorflow")


@pytest.mark.slow
def test_methods_are_attacked_in_pairs(tiny_preset, tmp_path, monkeypatch, capsys):
    data = tmp_path / "own.csv"
    lines = [f"{word} film number {k},{word}" for k in range(40) for word in WORDS]
    data.write_text("\n".join(["text,label", *lines]))
    (tmp_path / "near.json").write_text(json.dumps({"good": ["bad"], "film": ["the"]}))
    arguments = ["--data", str(data), "--preset", str(tiny_preset), "--attacked", "6"]
    arguments += ["--epochs", "1", "--test-size", "10", "--seeds", "2"]
    arguments += ["--neighbors", str(tmp_path / "near.json"), "--no-jit"]
    made = tmp_path / "made.tsv"
    made.write_text("sentence\tlabel\na bad film\tbad\n")
    arguments += ["--also-test", str(made), "--min-similarity", "0.1"]
    arguments += ["--output", str(tmp_path / "out")]
    example.main(arguments)
    printed = capsys.readouterr().out
    assert printed.count("failed attacks, %") == 2  # of both attacks
    rows = example.Runs(tmp_path / "out" / "runs.csv").rows
    assert [(row["method"], row["seed"], row["attack"]) for row in rows] == [
        (method, str(seed), attack)
        for method in ("soft", "ct")
        for seed in range(2)
        for attack in (
            "characters",
            "words of near.json, similarity 0.1",
            "made.tsv",
        )
    ]
    logs = [log.read_text() for log in (tmp_path / "out").glob("*.jsonl")]
    assert len(logs) == 8 and {text.count("\n") for text in logs} == {1 + 6}
    monkeypatch.setattr(
        example.repeated_runs, "RepeatedRuns", lambda *_: pytest.fail("again")
    )
    example.main(arguments)
    assert example.Runs(tmp_path / "out" / "runs.csv").rows == rows


def test_neighbours_that_are_none(tmp_path):
    file = tmp_path / "near.json"
    file.write_text("[1]")
    with pytest.raises(ValueError, match="near.json to hold a dict in JSON"):
        example.load_attacks(file)
    file.write_text('{"good": "fine"}')
    with pytest.raises(ValueError, match="near.json: "):
        example.load_attacks(file)


def test_more_tokens_than_the_preset_takes(tiny_preset, tmp_path):
    data = tmp_path / "own.csv"
    lines = [f"{word} film number {k},{word}" for k in range(10) for word in WORDS]
    data.write_text("\n".join(["text,label", *lines]))
    arguments = ["--data", str(data), "--preset", str(tiny_preset)]
    arguments += ["--output", str(tmp_path / "out"), "--sequence-length", "600"]
    with pytest.raises(SystemExit, match="error: --sequence-length must be at most"):
        example.main(arguments)


def test_labels_of_no_file(capsys):
    with pytest.raises(SystemExit):
        example.parse_arguments(["--labels", "0=negative"])
    assert "--labels needs --also-test" in capsys.readouterr().err
