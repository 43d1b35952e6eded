"""Tasks that are trained in one domain and tested in others, from files.

Files are tab-separated, those with `.csv` comma-separated, with one header line, which
names columns of `COLUMNS`, as those of GLUE and SNLI, and one of `LABELS`. Rows with
the label "-", on which the annotators of SNLI did not agree, are left out.

Those of multiple choice have the columns `ending0` to `ending3`, `label`, the number of
the right ending from 0 to 3, and their beginning in `startphrase`, as the CSV files of
SWAG (github.com/rowanz/swagaf), or in `sent`. `data/full_data.tsv` of CODAH
(github.com/Websail-NU/CODAH) needs a header line, `category sent ending0 ending1
ending2 ending3 label`; its folds are in `data/cv_split`.
"""

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
PARTS = ("train", "dev", "test")  # of a fold
ENDINGS = ("ending0", "ending1", "ending2", "ending3")
CHOICES = (("sent", *ENDINGS), ("startphrase", *ENDINGS))


def read(file, classes=None, names=None):
    """Returns the `Sentences` of a file, and its classes.

    Args:
        file: Path, plain or with `.gz`.
        classes: List of strings, those of training, or `None` for those of the file.
            Of multiple choice they are the numbers of the endings.
        names: Dictionary, see `rename`, or `None` if labels are names of `classes`.
    """
    header = next(iter(glue_tasks.split_rows(file)), [])
    columns = next((x for x in (*CHOICES, *COLUMNS) if set(x) <= set(header)), None)
    label = next((x for x in LABELS if x in header), None)
    if columns is None or label is None:
        raise ValueError(
            f"Expected the first line of {file} to name columns of {COLUMNS} or "
            f"{CHOICES}, and one of {LABELS}. Received: {header}"
        )
    layout = glue_tasks.Layout(columns, label)
    if columns in CHOICES and classes is None:
        classes = [str(number) for number in range(len(ENDINGS))]
    columns, labels = glue_tasks.read_rows(file, layout)
    kept = [n for n, text in enumerate(labels) if text != "-"]
    columns = tuple([column[n] for n in kept] for column in columns)
    labels = [labels[n] for n in kept]
    if names is not None:
        labels = rename(labels, classes, names, file)
    classes = classes or glue_tasks.classes_of(labels, file)
    return glue_tasks.index_labels(columns, labels, classes, file), classes


def rename(labels, classes, names, file):
    """Returns labels of another file as the names of the classes of training.

    Labels that all are classes stay. Else `names` must have each of them.

    Args:
        labels: List of strings.
        classes: List of strings.
        names: Dictionary from labels to classes, of `--labels`.
        file: Path, for messages.
    """
    found = set(labels)
    check_names(found, classes, names, file)
    if found <= set(classes):
        return labels
    missing = sorted(found - names.keys())
    if missing:
        raise ValueError(
            f"Expected the classes of training, {classes}, as labels in {file}, or "
            f"--labels with a class for each, as {missing[0]}={classes[0]}. Received: "
            f"{sorted(found)}, of which --labels lacks {missing}"
        )
    taken = ", ".join(f"{label} as {names[label]}" for label in sorted(found))
    print(f"{file}: takes the labels {taken}")
    return [names[label] for label in labels]


def check_names(found, classes, names, file):
    """Refuses names that are no classes, and labels that could be meant either way."""
    unknown = sorted(set(names.values()) - set(classes))
    if unknown:
        raise ValueError(
            f"Expected --labels to name the classes {classes}. Received: {unknown}"
        )
    renamed = found <= names.keys() and any(names[label] != label for label in found)
    if renamed and found <= set(classes):
        raise ValueError(
            f"Expected labels in {file} that are either classes of training or given "
            f"one by --labels. Received: {sorted(found)}, which are both"
        )


def task(name, train, dev, others, test_size=None, names=None):
    """Returns the `sentences.Task` of some files.

    Args:
        name: String, of the domain that is trained on.
        train: Path.
        dev: Path of a file of the same domain; one half is tested on, the temperature
            is fitted on the other, as in the paper.
        others: Dictionary from names of other domains to paths.
        test_size: Integer, the most sentences of each, or `None` for all.
        names: Dictionary from labels of other domains to classes of training, or
            `None` if they are the same.
    """
    trained, classes = read(train)
    held_out, _ = read(dev, classes)
    validation, test = held_out.split(len(held_out) // 2)
    tests = {name: test}
    for key, file in others.items():
        tests[key] = read(file, classes, names or {})[0]
    tests = {key: x.split(0)[1].first(test_size or len(x)) for key, x in tests.items()}
    validation = validation.first(test_size or len(validation))
    return Task(name, classes, trained.split(0)[1], validation, tests).checked()


def fold(name, file, folds, number, test_size=None):
    """Returns the `sentences.Task` of one fold of a file.

    Args:
        name: String.
        file: Path of all rows.
        folds: Path of a JSON file with a dictionary from numbers of folds, from "0",
            to dictionaries with lists of the numbers of rows, from 0, "train", "dev"
            and "test".
        number: Integer.
        test_size: Integer, the most sentences of the test, or `None` for all.

    The temperature is fitted on the rows of "dev".
    """
    rows, classes = read(file)
    all_folds = text_files.read_json(folds, dict)
    found = all_folds.get(str(number))
    parts = [found.get(x) for x in PARTS] if isinstance(found, dict) else [None]
    if not all(isinstance(part, list) for part in parts):
        raise ValueError(
            f'Expected {folds} to hold "train", "dev" and "test", each a list, of the '
            f'fold "{number}". Received: the folds {list(all_folds)}, and of this one '
            f"{found!r:.80}"
        )
    check_rows(parts, len(rows), folds)
    train, validation, test = (rows.take(part) for part in parts)
    validation = validation.first(test_size or len(validation))
    tests = {name: test.first(test_size or len(test))}
    return Task(name, classes, train, validation, tests).checked()


def check_rows(parts, count, file):
    """Refuses rows that are not there, or in two parts of a fold."""
    rows = [row for part in parts for row in part]
    there = all(type(row) is int and 0 <= row < count for row in rows)
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
