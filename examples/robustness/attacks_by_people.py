"""Test sets that people or attacks on other models have made hard.

AdvGLUE (Wang et al., 2021) is one JSON file of all its tasks; others, as counterfactual
reviews and pairs (Kaushik et al., 2020), are tab-separated, as `domains` reads them.
"""

import dataclasses

import domains
import glue_tasks
import numpy as np
import text_files

# Keys, columns and classes of AdvGLUE, by the names of `glue_tasks.TASKS`.
_TWO = ["entailment", "not_entailment"]
ADVGLUE = {
    "SST-2": ("sst2", ("sentence",), ["0", "1"]),
    "QQP": ("qqp", ("question1", "question2"), ["0", "1"]),
    "MNLI": (
        "mnli",
        ("premise", "hypothesis"),
        ["entailment", "neutral", "contradiction"],
    ),
    "QNLI": ("qnli", ("question", "sentence"), _TWO),
    "RTE": ("rte", ("sentence1", "sentence2"), _TWO),
}


def read(file, task, names=None):
    """Returns the `Sentences` of a file for a `sentences.Task`.

    Args:
        file: Path of a JSON file of AdvGLUE, or of a tab-separated one; plain or with
            `.gz`.
        task: `sentences.Task`.
        names: Dictionary from labels to classes of the task, or `None` if they are
            the same.
    """
    if ".json" in file.suffixes:
        columns, labels = read_advglue(file, task)
        labels = domains.rename(labels, task.classes, names or {}, file)
        found = glue_tasks.index_labels(columns, labels, task.classes, file)
    else:
        found = domains.read(file, task.classes, names or {})[0]
    dataclasses.replace(task, tests={file.name: found}).checked()
    return found


def read_advglue(file, task):
    """Returns columns and labels of one task of AdvGLUE."""
    if task.name not in ADVGLUE:
        raise ValueError(f"AdvGLUE has {', '.join(ADVGLUE)}, but not {task.name}")
    key, names, classes = ADVGLUE[task.name]
    found = text_files.read_json(file, dict)
    numbers = dict(enumerate(classes))
    try:
        labels = [numbers[row["label"]] for row in found[key]]
        return tuple([row[name] for row in found[key]] for name in names), labels
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"Expected {file} to hold rows of {names} and a label in [0, "
            f"{len(classes)}) under the key {key!r}, as AdvGLUE does. Received: "
            f"{error!r}"
        ) from error


def accuracy(predict, sentences):
    """Returns the accuracy of a callable from texts to probabilities (n, C)."""
    probabilities = np.asarray(predict(texts_of(sentences)))
    return float(np.mean(probabilities.argmax(-1) == sentences.labels))


def texts_of(sentences):
    """Returns a list of strings, or of pairs of them."""
    columns = sentences.columns
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
