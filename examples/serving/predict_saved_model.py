"""Asks an exported classifier about texts, with TensorFlow and tensorflow-text alone.

python examples/serving/predict_saved_model.py exported "a fine film" "what a bore"
"""

import argparse
import json
import pathlib
import sys

import served_model


def main(arguments=None):
    """Prints a label and probabilities for each text."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="of export_saved_model.py")
    parser.add_argument("texts", nargs="*")
    parser.add_argument(
        "--json", action="store_true", help="read a list of texts from standard input"
    )
    options = parser.parse_args(arguments)
    texts = json.load(sys.stdin) if options.json else options.texts
    if not texts:
        parser.error("no texts were given")
    try:
        model = served_model.ServedModel(options.folder)
    except served_model.ExportError as error:
        parser.exit(1, f"error: {error}\n")
    rows = model.predict([text.encode("utf-8") for text in texts])
    answers = model.predictions(rows)
    if options.json:
        print(json.dumps(answers))
        return
    for text, answer in zip(texts, answers, strict=True):
        numbers = answer["probabilities"].items()
        named = ", ".join(f"{name} {value:.3f}" for name, value in numbers)
        print(f"{answer['label']}  ({named})  {text}")


def probabilities(answers):
    """The rows of probabilities in what `--json` prints."""
    return [list(answer["probabilities"].values()) for answer in json.loads(answers)]


if __name__ == "__main__":
    main()
