"""Tasks of the GLUE benchmark (Wang et al., 2019) from tab-separated files.

The files are looked for in the folder of the task's name in `--data-dir`, then in
`--data-dir` itself, plain or with `.gz`. Two layouts are read: that of the official
archives, which differs between tasks, and one header line `sentence label` or
`sentence1 sentence2 label`. The labels of GLUE's own test sets are secret, so that
models are tested on the development sets; with Microsoft's files of MRPC,
`msr_paraphrase_train.txt` and `msr_paraphrase_test.txt`, on its test set. Measures are
the official ones, first, and the expected calibration error.
"""

import csv
import dataclasses
import io
import pathlib

import numpy as np
import text_files
from sentences import Sentences, Task

PAIR = ("sentence1", "sentence2")


@dataclasses.dataclass(frozen=True)
class Files:
    """The names of files that belong together.

    Args:
        train: String.
        tests: Dictionary from what is added to the task's name to the name of a file
            with labels.
    """

    train: str = "train.tsv"
    tests: dict = dataclasses.field(default_factory=lambda: {"": "dev.tsv"})


@dataclasses.dataclass(frozen=True)
class Layout:
    """The official files of a task.

    Args:
        columns: Tuple with the names of the one or two columns of text.
        label: String, the name of the column of labels.
        header: Tuple with the names of all columns of a file without a header
            line, or `None` if the first line names them.
        files: Tuple of `Files`; the first that a folder has as a whole is taken.
        measures: Tuple, see `sentences.Task`.
        has_classes: Bool; if not, labels are numbers.
        positive: String, the label of the class whose F1 is measured, or `None`.
        skips: Bool, whether rows without all columns are left out, of which the
            official file of QQP has some.
    """

    columns: tuple = PAIR
    label: str = "label"
    header: tuple | None = None
    files: tuple = (Files(),)
    measures: tuple = ("accuracy", "ece")
    has_classes: bool = True
    positive: str | None = None
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
        files=(
            Files(),
            Files("msr_paraphrase_train.txt", {" test": "msr_paraphrase_test.txt"}),
        ),
        measures=("accuracy", "f1", "ece"),
        positive="1",
    ),
    "STS-B": Layout(label="score", measures=("pearson", "spearman"), has_classes=False),
    "QQP": Layout(
        ("question1", "question2"),
        "is_duplicate",
        measures=("accuracy", "f1", "ece"),
        positive="1",
        skips=True,
    ),
    "MNLI": Layout(
        label="gold_label",
        files=(
            Files(
                tests={
                    " matched": "dev_matched.tsv",
                    " mismatched": "dev_mismatched.tsv",
                }
            ),
        ),
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
        validation; the tests are the development files, or Microsoft's test file of
        MRPC, whose test is called "MRPC test". What files are read is printed.
    """
    layout = TASKS[name]
    train_file, test_files = find_files(folder, name, layout)
    tested_on = " and ".join(map(str, test_files.values()))
    print(f"{name}: trained on {train_file}, tested on {tested_on}")
    columns, labels = read_rows(train_file, layout)
    classes = classes_of(labels, train_file) if layout.has_classes else []
    if layout.positive:
        classes = positive_last(classes, layout.positive, train_file)
    train = index_labels(columns, labels, classes, train_file)
    validation, train = train.split(min(len(train) // 10, 1000))
    validation = validation.first(test_size or len(validation))
    tests = {}
    for added, file in test_files.items():
        test = index_labels(*read_rows(file, layout), classes, file)
        tests[name + added] = test.split(0)[1].first(test_size or len(test))
    return Task(name, classes, train, validation, tests, layout.measures).checked()


def classes_of(labels, file):
    """Returns the sorted classes of the labels of a training file.

    Raises:
        ValueError: If they are fewer than two, or seem to be numbers on a scale.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise ValueError(
            f"Expected {file} to hold two classes at least. Received: {classes}"
        )
    if len(labels) < 10 * len(classes) or are_fractions(classes):
        raise ValueError(
            f"Expected classes as labels in {file}, with ten rows for each at least. "
            f"Received: {len(labels)} rows of {len(classes)} classes, as "
            f"{classes[:3]} (are the labels classes, not numbers on a scale?)"
        )
    return classes


def are_fractions(labels):
    """Returns whether all labels are numbers, and some are no integers."""
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return False
    return not all(number.is_integer() for number in numbers)


def positive_last(classes, positive, file):
    """Returns two classes; the last is the one whose F1 is measured."""
    if len(classes) != 2 or positive not in classes:
        raise ValueError(
            f"Expected two classes in {file}, one of them {positive!r}, whose F1 is "
            f"measured. Received: {classes}"
        )
    return sorted(classes, key=lambda label: label == positive)


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


def find_files(folder, name, layout):
    """Returns the paths of the training file and, in a dictionary, of the tests.

    They are in one folder and of one of the layout's `Files`: Microsoft's training file
    of MRPC has pairs of GLUE's development set.
    """
    places = pathlib.Path(folder) / name, pathlib.Path(folder)
    known = [(files.train, *files.tests.values()) for files in layout.files]
    for place in places:
        for files, names in zip(layout.files, known, strict=True):
            paths = [plain_or_packed(place / file) for file in names]
            if all(paths):
                return paths[0], dict(zip(files.tests, paths[1:], strict=True))
    there = [plain_or_packed(p / x) for p in places for names in known for x in names]
    there = [str(file) for file in there if file] or "none of them"
    wanted = ", or ".join(" with ".join(names) for names in known)
    raise ValueError(
        f"Expected {wanted}, plain or with .gz, in one of the folders "
        f"{[str(place) for place in places]} for the task {name}. Received: "
        f"data_dir={str(folder)!r}, which has {there}"
    )


def plain_or_packed(file):
    """Returns the path of a file, plain or with `.gz`; `None` if there is neither."""
    paths = file, file.with_name(file.name + ".gz")
    return next((path for path in paths if path.is_file()), None)


def read_rows(file, layout):
    """Returns the columns of text, and the labels as strings."""
    names, rows = name_columns(split_rows(file), layout)
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
    return tuple(columns), [label.strip() for label in labels]


def split_rows(file):
    """Returns the cells of all rows, between tabs, of a `.csv` between commas."""
    file = pathlib.Path(file)
    text = text_files.read(file)
    if ".csv" in file.suffixes:
        try:
            return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        except csv.Error as error:
            raise ValueError(f"Expected {file} to hold CSV: {error}") from error
    # No quoting: a quotation mark is a character like any other.
    lines = text.split("\n")
    return [line.rstrip("\r").split("\t") for line in lines if line.strip()]


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
