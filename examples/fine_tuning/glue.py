"""Tasks of the GLUE benchmark (Wang et al., 2019) from tab-separated files.

The files are looked for in `--data-dir` and in its folder of the task's name, plain
or with `.gz`. Two layouts are read: that of the official archives, which differs
between tasks, and one header line `sentence label` or `sentence1 sentence2 label`.
"""

import dataclasses
import gzip
import pathlib

import numpy as np
from sentences import Sentences, Task


@dataclasses.dataclass(frozen=True)
class Layout:
    """The official files of a task.

    Args:
        columns: Tuple with the names of the one or two columns of text.
        label: String, the name of the column of labels.
        header: Tuple with the names of all columns of a file without a header
            line, or `None` if the first line names them.
        train: Tuple of names that the training file may have.
        test: Tuple of names that the labelled test file may have. The labels of
            GLUE's own test sets are secret: one tests on its development sets.
        measures: Tuple, see `sentences.Task`. GLUE judges CoLA by the Matthews
            correlation.
    """

    columns: tuple
    label: str = "label"
    header: tuple | None = None
    train: tuple = ("train.tsv",)
    test: tuple = ("dev.tsv",)
    measures: tuple = ("accuracy", "ece")


TASKS = {
    "SST-2": Layout(("sentence",)),
    "MRPC": Layout(
        ("#1 String", "#2 String"),
        "Quality",
        train=("train.tsv", "msr_paraphrase_train.txt"),
        test=("dev.tsv", "msr_paraphrase_test.txt"),
    ),
    "RTE": Layout(("sentence1", "sentence2")),
    "CoLA": Layout(
        ("sentence",),
        header=("source", "label", "mark", "sentence"),
        measures=("matthews", "accuracy", "ece"),
    ),
    "QNLI": Layout(("question", "sentence")),
}


def glue_task(name, folder, test_size=None):
    """Returns a GLUE task.

    Args:
        name: String, a key of `TASKS`.
        folder: Path of the folder with the files, or of its parent.
        test_size: Integer, the most sentences tested on, or `None` for all.

    Returns:
        A `Task`. A tenth of the training file, at most 1000 rows, is held out for
        validation; the test is the development file.
    """
    layout = TASKS[name]
    train_file = find_file(folder, name, layout.train)
    test_file = find_file(folder, name, layout.test)
    columns, labels = read_rows(train_file, layout)
    test_columns, test_labels = read_rows(test_file, layout)
    classes = sorted(set(labels))
    unknown = sorted(set(test_labels) - set(classes))
    if len(classes) < 2 or unknown:
        raise ValueError(
            f"Expected {train_file} to hold all the classes of {test_file}, at least "
            f"two. Received: {classes} in the first and {sorted(set(test_labels))} "
            "in the second"
        )
    train = index_labels(columns, labels, classes)
    validation, train = train.split(min(len(train) // 10, 1000))
    test = index_labels(test_columns, test_labels, classes)
    test = test.split(0)[1].first(test_size or len(test))
    return Task(name, classes, train, validation, {name: test}, layout.measures)


def index_labels(columns, labels, classes):
    """Returns `Sentences` whose labels are indices into `classes`."""
    indices = {label: index for index, label in enumerate(classes)}
    return Sentences(columns, np.array([indices[label] for label in labels], "int32"))


def find_file(folder, name, files):
    """Returns the path of the first of `files` that exists."""
    folder = pathlib.Path(folder)
    candidates = [
        place / (file + ending)
        for place in (folder / name, folder)
        for file in files
        for ending in ("", ".gz")
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ValueError(
        f"Expected one of {[str(c) for c in candidates]} for the task {name}. "
        f"Received: data_dir={str(folder)!r}, which has none of them"
    )


def read_rows(file, layout):
    """Returns the columns of text, and the labels as strings."""
    content = file.read_bytes()
    if file.suffix == ".gz":
        content = gzip.decompress(content)
    lines = content.decode("utf-8-sig").split("\n")
    # No quoting: a quotation mark is a character like any other.
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    names, rows = name_columns(rows, layout)
    pair = len(layout.columns) == 2
    uniform = ("sentence1", "sentence2") if pair else ("sentence",)
    for wanted in (layout.columns, uniform):
        label = layout.label if layout.label in names else "label"
        if {*wanted, label} <= set(names):
            break
    else:
        raise ValueError(
            f"Expected the first line of {file} to name the columns "
            f"{[*layout.columns, layout.label]}. Received: {names}"
        )
    positions = [names.index(column) for column in (*wanted, label)]
    for number, row in enumerate(rows, start=1):
        if len(row) <= max(positions) or not all(row[p].strip() for p in positions):
            raise ValueError(
                f"Expected the columns {names} in every row of {file}. "
                f"Received: {row} in row {number}"
            )
    *columns, labels = ([row[position] for row in rows] for position in positions)
    return tuple(columns), labels


def name_columns(rows, layout):
    """Splits the header from the rows, or takes the layout's."""
    first = rows[0] if rows else []
    if layout.header is None or layout.label in first:
        return first, rows[1:]
    return list(layout.header), rows
