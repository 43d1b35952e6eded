"""Asks an exported classifier about texts, with TensorFlow and tensorflow-text alone.

python examples/serving/predict_saved_model.py exported "a fine film" "what a bore"
"""

import argparse
import json
import pathlib
import re
import reprlib
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
    try:
        texts = read_texts(sys.stdin.buffer) if options.json else options.texts
        check(texts)
    except ValueError as error:
        parser.error(str(error))
    try:
        answers = served_model.ServedModel(options.folder).predict(texts)
    except served_model.ExportError as error:
        parser.exit(1, f"error: {error}\n")
    if options.json:
        print(json.dumps(answers))
        return
    for text, answer in zip(texts, answers, strict=True):
        numbers = answer["probabilities"].items()
        named = ", ".join(f"{name} {value:.3f}" for name, value in numbers)
        print(f"{answer['label']}  ({named})  {text}")


def read_texts(stream):
    """Returns what a stream of JSON holds."""
    try:
        return json.load(stream)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"--json expects a list of strings as JSON on standard input: {error}"
        ) from None


def check(texts):
    """Refuses what is not a list of strings that UTF-8 can hold."""
    if not isinstance(texts, list) or not texts:
        received = f"texts={reprlib.repr(texts)}"
    elif wrong := [index for index, text in enumerate(texts) if not is_text(text)]:
        received = f"texts[{wrong[0]}]={reprlib.repr(texts[wrong[0]])}"
    else:
        return
    raise ValueError(f"Expected one or more strings of Unicode. Received: {received}")


def is_text(value):
    """Whether it is a string without halves of surrogate pairs."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def probabilities(answers):
    """The rows of probabilities in what `--json` prints."""
    return [list(answer["probabilities"].values()) for answer in json.loads(answers)]


if __name__ == "__main__":
    main()
