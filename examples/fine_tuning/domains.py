"""Tasks that are trained in one domain and tested in others, from files.

Files are tab-separated with one header line, which names columns of `COLUMNS`, as those
of GLUE and SNLI, and one of `LABELS`. Rows with the label "-", on which the annotators
of SNLI did not agree, are left out. Those of multiple choice, as CODAH, have the
columns `sent`, `ending0` to `ending3` and `label`.
"""

import pathlib

import glue_tasks
import numpy as np
import text_files
from sentences import Sentences, Task

LABELS = ("label", "gold_label", "is_duplicate", "Quality")
COLUMNS = (
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("#1 String", "#2 String"),
    ("sentence",),
)
CHOICES = ("sent", "ending0", "ending1", "ending2", "ending3")


def read(file, classes=None):
    """Returns the `Sentences` of a file, and its classes.

    Args:
        file: Path, plain or with `.gz`.
        classes: List of strings, or `None` for those of the file.
    """
    names = header(file)
    columns = next((x for x in (CHOICES, *COLUMNS) if set(x) <= set(names)), None)
    label = next((x for x in LABELS if x in names), None)
    if columns is None or label is None:
        raise ValueError(
            f"Expected the first line of {file} to name columns of {COLUMNS} or "
            f"{CHOICES}, and one of {LABELS}. Received: {names}"
        )
    layout = glue_tasks.Layout(columns, label)
    columns, labels = glue_tasks.read_rows(pathlib.Path(file), layout)
    kept = [n for n, text in enumerate(labels) if text != "-"]
    columns = tuple([column[n] for n in kept] for column in columns)
    labels = [labels[n] for n in kept]
    numbers = set(labels) <= {"0", "1"} and not set(labels) <= set(classes or ())
    if classes and len(classes) == 2 and numbers:
        labels = [classes[int(label)] for label in labels]
    classes = classes or sorted(set(labels))
    return glue_tasks.index_labels(columns, labels, classes, file), classes


def header(file):
    """Returns the names of the columns of a file."""
    return text_files.read(file).partition("\n")[0].rstrip("\r").split("\t")


def task(name, train, dev, others, test_size=None):
    """Returns the `sentences.Task` of some files.

    Args:
        name: String, of the domain that is trained on.
        train: Path.
        dev: Path of a file of the same domain; one half is tested on, the temperature
            is fitted on the other, as in the paper.
        others: Dictionary from names of other domains to paths.
        test_size: Integer, the most sentences of each, or `None` for all.
    """
    trained, classes = read(train)
    held_out, _ = read(dev, classes)
    validation, test = held_out.split(len(held_out) // 2)
    tests = {name: test} | {key: read(x, classes)[0] for key, x in others.items()}
    tests = {key: x.split(0)[1].first(test_size or len(x)) for key, x in tests.items()}
    validation = validation.first(test_size or len(validation))
    return Task(name, classes, trained.split(0)[1], validation, tests).checked()


def fold(name, file, folds, number, test_size=None):
    """Returns the `sentences.Task` of one fold of a file.

    Args:
        name: String.
        file: Path of all rows.
        folds: Path of a JSON file with a dictionary from numbers of folds to
            dictionaries with lists of rows, "train", "dev" and "test".
        number: Integer.
        test_size: Integer, the most sentences of the test, or `None` for all.

    The temperature is fitted on the rows of "dev".
    """
    rows, classes = read(file)
    all_folds = text_files.read_json(folds, dict)
    found = all_folds.get(str(number))
    if not isinstance(found, dict) or not {"train", "dev", "test"} <= found.keys():
        raise ValueError(
            f'Expected {folds} to hold "train", "dev" and "test" of the fold '
            f'"{number}". Received: the folds {list(all_folds)}, and of this one '
            f"{found!r:.80}"
        )
    check_rows([found[name] for name in ("train", "dev", "test")], len(rows), folds)
    train, validation, test = (rows.take(found[x]) for x in ("train", "dev", "test"))
    validation = validation.first(test_size or len(validation))
    tests = {name: test.first(test_size or len(test))}
    return Task(name, classes, train, validation, tests).checked()


def check_rows(parts, count, file):
    """Refuses rows that are not there, or in two parts of a fold."""
    rows = [row for part in parts for row in part]
    there = all(isinstance(row, int) and 0 <= row < count for row in rows)
    if not there or len(set(rows)) < len(rows):
        raise ValueError(
            f"Expected the parts of each fold in {file} to be different integers in "
            f"[0, {count})"
        )


def as_pairs(sentences):
    """Returns each beginning with each of its endings, as pairs without labels."""
    beginnings, *endings = sentences.columns
    first = [text for _ in endings for text in beginnings]
    second = [text for column in endings for text in column]
    return Sentences((first, second), np.zeros(len(first), "int32"))
