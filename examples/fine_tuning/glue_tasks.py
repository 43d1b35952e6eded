"""Tasks of the GLUE benchmark (Wang et al., 2019) from tab-separated files.

The files are looked for in `--data-dir` and in its folder of the task's name, plain
or with `.gz`. Two layouts are read: that of the official archives, which differs
between tasks, and one header line `sentence label` or `sentence1 sentence2 label`.
Measures are the official ones, first, and the expected calibration error.
"""

import dataclasses
import pathlib

import numpy as np
import text_files
from sentences import Sentences, Task

PAIR = ("sentence1", "sentence2")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The official files of a task.

    Args:
        columns: Tuple with the names of the one or two columns of text.
        label: String, the name of the column of labels.
        header: Tuple with the names of all columns of a file without a header
            line, or `None` if the first line names them.
        train: Tuple of names that the training file may have.
        tests: Dictionary from what is added to the task's name to tuples of names that
            the labelled test file may have. The labels of GLUE's own test sets are
            secret: one tests on its development sets.
        measures: Tuple, see `sentences.Task`.
        has_classes: Bool; if not, labels are numbers.
        skips: Bool, whether rows without all columns are left out, of which the
            official file of QQP has some.
    """

    columns: tuple = PAIR
    label: str = "label"
    header: tuple | None = None
    train: tuple = ("train.tsv",)
    tests: dict = dataclasses.field(default_factory=lambda: {"": ("dev.tsv",)})
    measures: tuple = ("accuracy", "ece")
    has_classes: bool = True
    skips: bool = False


@dataclasses.dataclass(frozen=True)
class Regime:
    """How the paper fine-tunes on a task; steps as epochs of the whole training file.

    WNLI is not in the paper, and has what RTE has.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    warm_up: float
    dropout: float = 0.0


TASKS = {
    "CoLA": Layout(
        ("sentence",),
        header=("source", "label", "mark", "sentence"),
        measures=("matthews", "accuracy", "ece"),
    ),
    "SST-2": Layout(("sentence",)),
    "MRPC": Layout(
        ("#1 String", "#2 String"),
        "Quality",
        train=("train.tsv", "msr_paraphrase_train.txt"),
        tests={"": ("dev.tsv", "msr_paraphrase_test.txt")},
        measures=("accuracy", "f1", "ece"),
    ),
    "STS-B": Layout(label="score", measures=("pearson", "spearman"), has_classes=False),
    "QQP": Layout(
        ("question1", "question2"),
        "is_duplicate",
        measures=("accuracy", "f1", "ece"),
        skips=True,
    ),
    "MNLI": Layout(
        label="gold_label",
        tests={
            " matched": ("dev_matched.tsv",),
            " mismatched": ("dev_mismatched.tsv",),
        },
    ),
    "QNLI": Layout(("question", "sentence")),
    "RTE": Layout(),
    "WNLI": Layout(),
}
REGIMES = {
    "CoLA": Regime(1e-5, 16, 10, 320 / 5336),
    "SST-2": Regime(1e-5, 32, 10, 1256 / 20935),
    "MRPC": Regime(2e-5, 32, 7, 200 / 800),
    "STS-B": Regime(2e-5, 16, 10, 214 / 3598),
    "QQP": Regime(5e-5, 128, 5, 1000 / 14000, dropout=0.1),
    "MNLI": Regime(3e-5, 128, 3, 1000 / 10000),
    "QNLI": Regime(1e-5, 32, 10, 1986 / 33112),
    "RTE": Regime(3e-5, 32, 10, 200 / 800, dropout=0.1),
    "WNLI": Regime(3e-5, 32, 10, 200 / 800, dropout=0.1),
}


def glue_task(name, folder, test_size=None):
    """Returns a GLUE task.

    Args:
        name: String, a key of `TASKS`.
        folder: Path of the folder with the files, or of its parent.
        test_size: Integer, the most sentences of each test and of the validation, or
            `None` for all.

    Returns:
        A `Task`. A tenth of the training file, at most 1000 rows, is held out for
        validation; the tests are the development files.
    """
    layout = TASKS[name]
    train_file = find_file(folder, name, layout.train)
    columns, labels = read_rows(train_file, layout)
    classes = sorted(set(labels)) if layout.has_classes else []
    if layout.has_classes and len(classes) < 2:
        raise ValueError(
            f"Expected {train_file} to hold two classes at least. Received: {classes}"
        )
    train = index_labels(columns, labels, classes, train_file)
    validation, train = train.split(min(len(train) // 10, 1000))
    validation = validation.first(test_size or len(validation))
    tests = {}
    for added, files in layout.tests.items():
        file = find_file(folder, name, files)
        test = index_labels(*read_rows(file, layout), classes, file)
        tests[name + added] = test.split(0)[1].first(test_size or len(test))
    return Task(name, classes, train, validation, tests, layout.measures).checked()


def index_labels(columns, labels, classes, file):
    """Returns `Sentences` whose labels are indices into `classes`, or numbers."""
    if not classes:
        try:
            numbers = np.array([float(x) for x in labels], "float32")
        except ValueError as error:
            raise ValueError(f"Expected numbers as labels in {file}: {error}") from None
        if not np.isfinite(numbers).all():
            raise ValueError(f"Expected finite numbers as labels in {file}")
        return Sentences(columns, numbers)
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise ValueError(
            f"Expected only the classes {classes} in {file}. Received: {unknown}"
        )
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
    lines = text_files.read(file).split("\n")
    # No quoting: a quotation mark is a character like any other.
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    names, rows = name_columns(rows, layout)
    positions = find_columns(names, layout, file)
    kept = []
    for number, row in enumerate(rows, start=1):
        if len(row) > max(positions) and all(row[p].strip() for p in positions):
            kept.append(row)
        elif not layout.skips:
            raise ValueError(
                f"Expected the columns {names} in every row of {file}. Received: {row} "
                f"in row {number}"
            )
    *columns, labels = ([row[position] for row in kept] for position in positions)
    return tuple(columns), labels


def find_columns(names, layout, file):
    """Returns the positions of the columns of text and of the label."""
    uniform = PAIR if len(layout.columns) == 2 else ("sentence",)
    for wanted in (layout.columns, uniform):
        label = layout.label if layout.label in names else "label"
        if {*wanted, label} <= set(names):
            return [names.index(column) for column in (*wanted, label)]
    raise ValueError(
        f"Expected the first line of {file} to name the columns "
        f"{[*layout.columns, layout.label]}. Received: {names}"
    )


def name_columns(rows, layout):
    """Splits the header from the rows, or takes the layout's."""
    first = rows[0] if rows else []
    if layout.header is None or layout.label in first:
        return first, rows[1:]
    return list(layout.header), rows
