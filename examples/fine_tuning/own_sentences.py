"""The user's own sentences, from CSV files with the columns `text` and `label`."""

import csv
import io
import pathlib

import numpy as np
from sentences import Sentences, Task, normalise


def own_sentences(file, test_size=1000, out_of_domain=None):
    """Returns a task from a file with the columns `text` and `label`.

    Args:
        file: Path of a CSV file, UTF-8, whose first line names the columns. Labels
            are any words or numbers; each distinct one is a class.
        test_size: Integer, the most sentences of each test set.
        out_of_domain: Path of another such file, to test on alone, or `None`.

    Returns:
        A `Task`: a fifth of the sentences, at most `test_size`, are held out for
        the test, a tenth, at most 1000, for validation. The test set of the other
        file has the file's name; texts that are in both files are left out of it.
    """
    rows = read_rows(file)
    task = task_from_rows(rows, file, test_size)
    if out_of_domain is not None:
        known = {normalise(text) or text for text, _ in rows}
        other = other_domain(out_of_domain, task.classes, known)
        test = other.split(0)[1].first(test_size)
        task.tests[pathlib.Path(out_of_domain).name] = test
    return task


def other_domain(file, classes, known):
    """Returns `Sentences` of a file whose texts are not among the `known` ones."""
    rows = read_rows(file)
    unknown = sorted({label for _, label in rows} - set(classes))
    if unknown:
        raise ValueError(
            f"Expected the labels {classes} of the sentences that are trained on. "
            f"Received: {unknown} in out_of_domain={str(file)!r}"
        )
    new = [row for row in rows if (normalise(row[0]) or row[0]) not in known]
    if not new:
        raise ValueError(
            "Expected sentences that are not trained on. Received: none of "
            f"{len(rows)} in out_of_domain={str(file)!r}"
        )
    if len(new) < len(rows):
        left_out = len(rows) - len(new)
        print(f"{left_out} texts of {file} are in both files; they are left out.")
    labels = np.array([classes.index(label) for _, label in new], "int32")
    return Sentences(([text for text, _ in new],), labels)


def read_rows(file):
    """Returns pairs of text and label of a file, the first of each text."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected a file in UTF-8. Received: {str(file)!r} ({error})"
        ) from error
    with io.StringIO(text, newline="") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        if not {"text", "label"} <= set(columns):
            raise ValueError(
                "Expected the first line of the file to name the columns `text` and "
                f"`label`. Received: {columns} in {str(file)!r}"
            )
        try:
            return distinct_rows(reader, file)
        except csv.Error as error:
            raise ValueError(
                f"Expected a CSV file. Received: {str(file)!r} ({error})"
            ) from error


def distinct_rows(reader, file):
    """Returns pairs of text and label, the first of each text; says what it leaves out.

    Texts that differ in case and punctuation alone are taken for one, so that no
    sentence is both trained on and tested. `file` is for messages.
    """
    rows, count, contradictions = {}, 0, 0
    for count, row in enumerate(reader, start=1):
        text = (row["text"] or "").strip()
        label = (row["label"] or "").strip()
        if not text or not label:
            raise ValueError(
                "Expected a text and a label in every row. Received: "
                f"text={text!r}, label={label!r} in row {count} of "
                f"{str(file)!r}"
            )
        first = rows.setdefault(normalise(text) or text, (text, label))
        contradictions += first[1] != label
    if count > len(rows):
        print(
            f"{count - len(rows)} of {count} rows repeat the text of an earlier one, "
            f"{contradictions} of them with another label; they are left out."
        )
    return list(rows.values())


def task_from_rows(rows, file, test_size):
    """Splits rows of (text, label) into a task; `file` is for messages."""
    classes = sorted({label for _, label in rows})
    if len(classes) < 2:
        raise ValueError(
            f"Expected at least two different labels. Received: {classes} in "
            f"{len(rows)} rows of data={str(file)!r}"
        )
    if len(rows) < 10 * len(classes):
        raise ValueError(
            "Expected at least ten different sentences for each class. Received: "
            f"{len(rows)} for {len(classes)} classes in data={str(file)!r} (are the "
            "labels classes, not numbers on a scale?)"
        )
    texts = [text for text, _ in rows]
    labels = np.array([classes.index(label) for _, label in rows], "int32")
    sentences = Sentences((texts,), labels)
    test, validation, train = sentences.split(
        min(len(rows) // 5, test_size), min(len(rows) // 10, 1000)
    )
    return Task(str(file), classes, train, validation, {"held out": test})
