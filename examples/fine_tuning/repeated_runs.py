"""Runs of one method from the same pre-trained weights, one for every seed."""

import time

import finetuning
import keras
import numpy as np
from keras import ops

import keras_align
from keras_align.alignments import get_alignment
from keras_align.conversion.finding import find_attention


class StepTimer(keras.callbacks.Callback):
    """Adds up what the training steps take, without the first, which may compile.

    Attributes:
        steps: Integer, how many were measured.
        seconds: Float, wall time.
        cpu_seconds: Float, time of all threads of this process, to which other
            processes of a busy machine add little.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.seconds, self.cpu_seconds = -1, 0.0, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.begin = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps > 0:
            self.seconds += time.perf_counter() - self.begin[0]
            self.cpu_seconds += time.process_time() - self.begin[1]

    def per_step(self):
        """Returns the means, NaN without a step."""
        steps = self.steps if self.steps > 0 else np.nan
        return {
            "seconds_per_step": self.seconds / steps,
            "cpu_seconds_per_step": self.cpu_seconds / steps,
        }


class RepeatedRuns:
    """One model that is built, compiled and traced once and fine-tuned for many seeds.

    A seed decides the new head, the order of the sentences, the dropout and the
    networks of the alignment, so that the runs of two methods with one seed are paired.
    Another kind of task has a subclass with another `build`, `data`, `loss` or `test`.

    Args:
        task: A `sentences.Task`.
        method: A `methods.Method`.
        settings: `finetuning.Settings`.
    """

    def __init__(self, task, method, settings):
        self.task, self.method, self.settings = task, method, settings
        self.model = self.build()
        self.inputs, self.targets = self.data()
        rows = len(next(iter(self.inputs.values())))
        self.batch_size = min(settings.batch_size, rows)
        self.steps = settings.epochs * (rows // self.batch_size)
        self._prepare()
        finetuning.compile_model(
            self.model, settings, self.steps, method.label_smoothing, self.loss()
        )
        self.model.optimizer.build(self.model.trainable_variables)
        variables = self.model.variables + self.model.optimizer.variables
        self.start = [(v, np.copy(ops.convert_to_numpy(v))) for v in variables]

    def build(self):
        """Returns a model with pre-trained weights and a new head."""
        return finetuning.build(self.settings, self.task.outputs, seed=0)

    def data(self):
        """Returns the inputs and the targets of the training, for `build`'s model."""
        train = self.settings.sentences(self.task)
        inputs = finetuning.encode(self.model.preprocessor, train)
        return inputs, finetuning.targets(self.task, train)

    def loss(self):
        """Returns the loss, `None` for the cross-entropy of classes."""
        return "mse" if self.task.is_regression else None

    def _prepare(self):
        """Matches moments and aligns, as the method says."""
        method, self.aligned = self.method, []
        if method.matched:
            self._match_moments()
        if method.alignment:
            weight = method.alignment_weight
            keras_align.align_model(self.model, method.alignment, weight)
            self.aligned = [found.layer for found in find_attention(self.model)[0]]

    def _match_moments(self):
        """Matches moments; an alignment does without them where that is impossible."""
        few = {name: x[: self.settings.matching] for name, x in self.inputs.items()}
        try:
            keras_align.match_moments(self.model, few, moments=self.method.matched)
        except ValueError as error:
            if not self.method.alignment:
                raise
            print(f"{self.method.title} starts without matched moments: {error}")

    def reset(self, seed):
        """Restores the first weights; draws anew what a seed decides."""
        for variable, value in self.start:
            if variable.name == "seed_generator_state":  # of a dropout
                value = value + np.array([seed, 0], value.dtype)
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        for layer in new_layers(self.model):
            initializer = layer.kernel_initializer
            unseeded = initializer.get_config() | {"seed": None}
            initializer = type(initializer).from_config(unseeded)
            layer.kernel.assign(initializer(layer.kernel.shape))
        for attention in self.aligned:
            fresh = get_alignment(attention.alignment)
            fresh.build_from_config(attention.alignment.get_build_config())
            attention.alignment.set_weights(fresh.get_weights())

    def run(self, seed):
        """Fine-tunes and tests.

        Returns:
            A dictionary with the keys `method`, `seed`, `history`, `alignment_loss` (of
            the last epoch), `seconds_per_step` and `cpu_seconds_per_step` (without the
            first step), `temperature` (NaN without classes), `tests` (what
            `finetuning.test` returns) and `measure` (what
            `keras_align.measure_alignment` finds on sentences of the first test set;
            its `total` sums over layers and heads).
        """
        self.reset(seed)
        history, timer = self.train(seed)
        scaling = self.fit_temperature()
        return {
            "method": self.method,
            "seed": seed,
            "history": history,
            "alignment_loss": history.get("alignment_loss", [0.0])[-1],
            **timer.per_step(),
            "temperature": scaling.temperature if scaling else np.nan,
            "tests": self.test(scaling),
            "measure": self.measure(),
        }

    def train(self, seed):
        """Fine-tunes; returns the history, lists by name, and the timer."""
        if not self.method.trained:
            return {}, StepTimer()
        options = {}
        if self.settings.buckets:
            options["lengths"] = finetuning.lengths(self.inputs)
            options["buckets"] = self.settings.buckets
        data = keras_align.training.ShuffledBatches(
            self.inputs, self.targets, self.batch_size, seed, **options
        )
        timer = StepTimer()
        callbacks = [in_order(data), timer]
        if self.aligned:
            steps = self.settings.warm_up_steps(self.steps)
            callbacks.append(keras_align.AlignmentWeightSchedule(steps))
        with finetuning.taking_tokens(self.model):
            history = self.model.fit(
                data.as_dataset(),
                epochs=self.settings.epochs,
                shuffle=False,
                callbacks=callbacks,
                verbose=self.settings.verbose,
            )
        return history.history, timer

    def fit_temperature(self):
        """Returns `keras_align.TemperatureScaling`, or `None` without classes."""
        if self.task.is_regression:
            return None
        buckets = self.settings.buckets
        return finetuning.fit_temperature(self.model, self.task, buckets)

    def test(self, scaling):
        """Returns dictionaries of scores by the names of the tests."""
        buckets = self.settings.buckets
        return finetuning.test(self.model, self.task, scaling, buckets)

    def measure(self):
        """Returns how far keys and queries of the model are apart now."""
        sentences = next(iter(self.task.tests.values()))
        sentences = sentences.first(self.settings.measured)
        inputs = finetuning.encode(self.model.preprocessor, sentences)
        return keras_align.measure_alignment(self.model, inputs)


def in_order(batches):
    """Returns the callback that has `ShuffledBatches` shuffled anew in every epoch."""

    def begin(epoch, logs):
        batches.epoch = epoch

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def new_layers(model):
    """Returns the dense layers that a classifier has outside of its backbone."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
