"""Test sets that people or attacks on other models have made hard.

AdvGLUE (Wang et al., 2021) is one JSON file of all its tasks; counterfactual reviews
and pairs (Kaushik et al., 2020) are tab-separated, with the header of `glue_tasks`.
"""

import gzip
import json

import glue_tasks
import numpy as np

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


def read(file, task):
    """Returns the `Sentences` of a file for a `sentences.Task`.

    Labels are names of classes, or indices of them.

    Args:
        file: Path of a JSON file of AdvGLUE, or of a tab-separated one; plain or with
            `.gz`.
        task: `sentences.Task`.
    """
    if ".json" in file.suffixes:
        columns, labels = read_advglue(file, task)
    else:
        pair = len(task.train.columns) == 2
        wanted = glue_tasks.PAIR if pair else ("sentence",)
        columns, labels = glue_tasks.read_rows(file, glue_tasks.Layout(wanted))
    if not set(labels) <= set(task.classes):
        names = dict(enumerate(task.classes))
        labels = [names.get(int(x), x) if x.isdecimal() else x for x in labels]
    return glue_tasks.index_labels(columns, labels, task.classes, file)


def read_advglue(file, task):
    """Returns columns and labels of one task of AdvGLUE."""
    if task.name not in ADVGLUE:
        raise ValueError(f"AdvGLUE has {', '.join(ADVGLUE)}, but not {task.name}")
    key, names, classes = ADVGLUE[task.name]
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8") as stream:
        rows = json.load(stream)[key]
    labels = [classes[row["label"]] for row in rows]
    return tuple([row[name] for row in rows] for name in names), labels


def accuracy(predict, sentences):
    """Returns the accuracy of a callable from texts to probabilities (n, C)."""
    probabilities = np.asarray(predict(texts_of(sentences)))
    return float(np.mean(probabilities.argmax(-1) == sentences.labels))


def texts_of(sentences):
    """Returns a list of strings, or of pairs of them."""
    columns = sentences.columns
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
