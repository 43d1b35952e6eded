"""Fine-tuning that finds answers in texts, one run for every seed."""

import dataclasses

import answers
import keras
import keras_nlp
import numpy as np
import repeated_runs
import windows
from extractive_question_answerer import ExtractiveQuestionAnswerer, predict

import keras_align


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


class SpanRuns(repeated_runs.RepeatedRuns):
    """Runs of one method on a `SpanTask`."""

    def build(self):
        keras.utils.set_random_seed(0)
        settings, preset = self.settings, str(self.settings.preset)
        options = {"dtype": settings.precision}
        if settings.dropout is not None:
            options["dropout"] = settings.dropout
        models = keras_nlp.models
        return ExtractiveQuestionAnswerer(
            models.Backbone.from_preset(preset, **options),
            models.TextClassifierPreprocessor.from_preset(preset),
        )

    def data(self):
        found = self.windows(self.task.train)
        return found.inputs, found.targets([each.span for each in self.task.train])

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def windows(self, questions):
        """Returns the `windows.Windows` of questions."""
        return windows.Windows(
            self.model.preprocessor,
            [each.question for each in questions],
            [each.text for each in questions],
            self.settings.sequence_length,
            self.task.stride,
        )

    def run(self, seed):
        """Fine-tunes and tests.

        Returns:
            A dictionary as that of `RepeatedRuns.run`, without temperature. A test has
            `exact_match`, `f1`, and with questions without answers also both with the
            threshold that is best for F1 (`best_exact_match`, `best_f1`).
        """
        self.reset(seed)
        history, timer = self.train(seed)
        return {
            "method": self.method,
            "seed": seed,
            "history": history,
            "alignment_loss": history.get("alignment_loss", [0.0])[-1],
            **timer.per_step(),
            "temperature": np.nan,
            "tests": self.test(),
            "measure": self.measure(),
        }

    def test(self):
        """Returns the scores on each test."""
        tests = {}
        for name, questions in self.task.tests.items():
            wanted = [each.answers for each in questions]
            found = self.answers(questions)
            if all(wanted):
                tests[name] = answers.evaluate(found, wanted)
                continue
            tests[name] = answers.evaluate(found, wanted, threshold=0.0)
            best = answers.evaluate(
                found, wanted, answers.best_threshold(found, wanted)
            )
            tests[name] |= {f"best_{key}": value for key, value in best.items()}
        return tests

    def answers(self, questions):
        """Returns the `answers.Answers` to questions."""
        found = self.windows(questions)
        logits = predict(self.model, found.inputs, buckets=self.settings.buckets)
        return answers.find_answers(found, logits)

    def measure(self):
        questions = next(iter(self.task.tests.values()))
        few = self.windows(questions[: self.settings.measured // 4])
        return keras_align.measure_alignment(self.model, few.inputs)
