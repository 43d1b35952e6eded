"""`export_saved_model.py` on a small classifier and a few own sentences."""

import csv
import json

import export_saved_model
import numpy as np
import predict_saved_model
import pytest
import small_classifiers

pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore"),  # of TensorFlow, about its own savers,
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A classifier as `.keras`, and sentences of its words."""
    folder = tmp_path_factory.mktemp("files")
    small_classifiers.classifier().save(folder / "model.keras")
    draw = np.random.default_rng(0)
    with open(folder / "own.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(40):
            words = ["-bad" if number % 2 else "good", *draw.choice(["film", "a"], 3)]
            writer.writerow([" ".join([*words, str(number)]), words[0].strip("-")])
    return folder


@pytest.mark.slow
def test_a_model_from_a_file_gets_a_page_and_answers(files, tmp_path, capsys):
    data = ["--data", str(files / "own.csv")]
    model = ["--model", str(files / "model.keras")]
    export_saved_model.main([*data, *model, "--output", str(tmp_path / "out")])
    assert "Serve it" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert facts["class_names"] == ["bad", "good"] and facts["training"] is None
    assert facts["base_model"].endswith("from model.keras")
    assert [row["alignment"] for row in facts["alignment"]] == [
        "ConditionalTransport"
    ] * 2
    card = (tmp_path / "out" / "model_card.md").read_text()
    accuracy = facts["results"]["float32"]
    for name, row in accuracy.items():
        assert (
            f"| float32 | {name} | {facts['tests'][name]} | {row['accuracy']:.1f}"
            in card
        )
    predict_saved_model.main([str(tmp_path / "out"), "good film", "-bad"][:2])
    answer = capsys.readouterr().out
    assert answer.split()[0] in ("good", "bad") and answer.endswith("  good film\n")


def test_a_model_of_other_classes_is_refused_before_anything_is_written(
    files, tmp_path
):
    with open(tmp_path / "three.csv", "w", encoding="utf-8") as stream:
        stream.write("text,label\n")
        stream.writelines(f"word{n},{'abc'[n % 3]}\n" for n in range(60))
    options = ["--data", str(tmp_path / "three.csv")]
    options += [
        "--model",
        str(files / "model.keras"),
        "--output",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit, match="the logits of 3 classes"):
        export_saved_model.main(options)
    assert not (tmp_path / "out").exists()
