"""The page `report.html` of `finetune_bert.py`."""

import dataclasses
import pathlib

import finetuning

import keras_align
from keras_align import reports

NAME = "report.html"


def data_of(model, task):
    """Returns the argument `data` of `keras_align.report`."""
    return {
        name: (
            finetuning.encode(model.preprocessor, sentences),
            None if task.is_regression else sentences.labels,
            list(map(" | ".join, zip(*sentences.columns, strict=True))),
        )
        for name, sentences in task.tests.items()
    }


def examine(model, task, settings):
    """Returns an `Examination` of a model.

    Args:
        model: The classifier.
        task: A `sentences.Task`.
        settings: `finetuning.Settings`.
    """
    data = data_of(model, task)
    with finetuning.taking_tokens(model):
        return reports.examine(model, data, **options(settings))


def options(settings):
    """Returns what `examine` and `report` must have in common."""
    return {"samples": settings.measured, "batch_size": 64}


def write(model, task, examined, settings, text, folder):
    """Writes the page about two models.

    Args:
        model: A model whose preprocessor is that of both.
        task: A `sentences.Task`.
        examined: Dictionary from two titles to `Examination`s.
        settings: `finetuning.Settings`.
        text: String, the table over all seeds.
        folder: Path.
    """
    before, after = examined.values()
    known = dataclasses.asdict(settings)
    known["preset"] = pathlib.Path(settings.preset).name
    return keras_align.report(
        before,
        after,
        data_of(model, task),
        folder / NAME,
        titles=tuple(examined),
        class_names=None if task.is_regression else task.classes,
        settings={"task": task.name, **known, "seed": "0, the first pair"},
        notes={"All seeds": text},
        **options(settings),
    )
