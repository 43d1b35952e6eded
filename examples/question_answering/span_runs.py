"""Fine-tuning that finds answers in texts, one run for every seed."""

import dataclasses
import functools

import answers
import finetuning
import keras
import keras_nlp
import repeated_runs
import sentences
import windows
from extractive_question_answerer import (
    ExtractiveQuestionAnswerer,
    of_model,
    predict,
)

import keras_align

WINDOWS = "tokens of the whole text"  # tells runs with other windows


@dataclasses.dataclass(frozen=True)
class SpanTask:
    """What a model is trained on and where it is tested.

    Args:
        name: String, for titles.
        train: List of `squad_data.Question`s.
        tests: Dictionary from names to lists of `squad_data.Question`s.
        stride: Integer, tokens between the beginnings of windows.
    """

    name: str
    train: list
    tests: dict
    stride: int = 128

    @functools.cached_property
    def digest(self):
        """A short text that other questions or windows change."""
        return sentences.digest({**dataclasses.asdict(self), "windows": WINDOWS})


class SpanRuns(repeated_runs.RepeatedRuns):
    """Runs of one method on a `SpanTask`."""

    def __init__(self, task, method, settings):
        self.known = {}  # windows by the identities of lists of questions
        super().__init__(task, method, settings)

    def build(self):
        keras.utils.set_random_seed(0)
        settings, preset = self.settings, str(self.settings.preset)
        options = {"dtype": settings.precision}
        if settings.dropout is not None:
            options["dropout"] = settings.dropout
        models = keras_nlp.models
        backbone = models.Backbone.from_preset(preset, **options)
        finetuning.check_length(backbone, settings.sequence_length)
        preprocessor = models.TextClassifierPreprocessor.from_preset(preset)
        return ExtractiveQuestionAnswerer(backbone, preprocessor)

    def data(self):
        found = self.windows(self.task.train)
        return of_model(self.model, found.inputs), found.targets(
            [each.span for each in self.task.train]
        )

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def windows(self, questions):
        """Returns the `windows.Windows` of questions, made once."""
        if id(questions) not in self.known:
            self.known[id(questions)] = self._windows(questions)
        return self.known[id(questions)]

    def _windows(self, questions):
        return windows.Windows(
            self.model.preprocessor,
            [each.question for each in questions],
            [each.text for each in questions],
            self.settings.sequence_length,
            self.task.stride,
        )

    def fit_temperature(self):
        return None

    def test(self, scaling):
        """Returns the scores on each test.

        They are `exact_match` and `f1`. Of questions some of which have no answer
        these are with the threshold 0, and there are also `best_exact_match` and
        `best_f1`, each with the threshold that is best for it.
        """
        tests = {}
        for name, questions in self.task.tests.items():
            wanted = [each.answers for each in questions]
            found = self.answers(questions)
            if all(wanted):
                tests[name] = answers.evaluate(found, wanted)
                continue
            tests[name] = answers.evaluate(found, wanted, threshold=0.0)
            for key, score in answers.SCORES.items():
                best = answers.best_threshold(found, wanted, score)
                tests[name][f"best_{key}"] = answers.evaluate(found, wanted, best)[key]
        return tests

    def answers(self, questions):
        """Returns the `answers.Answers` to questions."""
        found = self.windows(questions)
        logits = predict(self.model, found.inputs, buckets=self.settings.buckets)
        return answers.find_answers(found, logits)

    def measure(self):
        questions = next(iter(self.task.tests.values()))
        few = self._windows(questions[: self.settings.measured // 4])
        inputs = of_model(self.model, few.inputs)
        return keras_align.measure_alignment(self.model, inputs)
