"""Fine-tunes one model with one kind of attention, and tests it.

The functions of this module are the steps of `finetune_bert.py`, for scripts that
repeat them with other settings.
"""

import contextlib
import dataclasses
import time

import keras
import keras_nlp
import numpy as np
from sklearn.metrics import matthews_corrcoef

import keras_align


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a model is fine-tuned.

    Args:
        preset: String or path, any preset of a keras-nlp text classifier.
        precision: String, the dtype policy of the model.
        dropout: Float, or `None` for the preset's own.
        sequence_length: Integer. Tokens per sentence; longer ones are cut. The
            default holds 96% of the movie reviews whole, and 95% of the others.
        train_size: Integer, the most sentences trained on, or `None` for all.
        batch_size: Integer.
        epochs: Integer.
        learning_rate: Float, from which the rate falls linearly to zero.
        weight_decay: Float, that of AdamW; biases and normalisations are spared.
        jit_compile: Bool, whether to compile with XLA.
        measured: Integer, the sentences on which keys and queries are compared.
        verbose: Integer, as in `keras.Model.fit`.
    """

    preset: str
    precision: str = "float32"
    dropout: float | None = None
    sequence_length: int = 48
    train_size: int | None = 2000
    batch_size: int = 32
    epochs: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    jit_compile: bool = True
    measured: int = 128
    verbose: int = 1


class StepTimer(keras.callbacks.Callback):
    """Notes the duration of every training step."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        self.begin = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.perf_counter() - self.begin)

    def median(self):
        """The median without the first step, which compiles; NaN if it is all."""
        return float(np.median(self.seconds[1:])) if self.seconds[1:] else np.nan


def build(settings, num_classes, seed):
    """Returns a classifier with pre-trained weights and a new head.

    The same seed gives the same head and the same dropout, whatever is done to
    the model afterwards.
    """
    keras.utils.set_random_seed(seed)
    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        str(settings.preset), sequence_length=settings.sequence_length
    )
    options = {"dtype": settings.precision}
    if settings.dropout is not None:
        options["dropout"] = settings.dropout
        options["backbone"] = keras_nlp.models.Backbone.from_preset(
            str(settings.preset), **options
        )
    return keras_nlp.models.TextClassifier.from_preset(
        str(settings.preset),
        num_classes=num_classes,
        preprocessor=preprocessor,
        **options,
    )


def suitable_length(task, preset, longest=256):
    """Returns a sequence length that holds 95% of the sentences whole.

    It is a multiple of 16, at most `longest`, and 48 for the movie reviews.
    """
    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        str(preset), sequence_length=longest
    )
    inputs = encode(preprocessor, task.train.first(1000))
    lengths = inputs["padding_mask"].sum(axis=-1)
    return int(-(-np.quantile(lengths, 0.95) // 16) * 16)


def encode(preprocessor, sentences):
    """Returns `sentences` as a model's inputs, a dictionary of arrays."""
    columns = tuple(np.array(column, object) for column in sentences.columns)
    texts = columns if len(columns) > 1 else columns[0]
    # With nothing else, a pair would be taken for sentences and labels.
    inputs = preprocessor(texts, None)
    return {name: keras.ops.convert_to_numpy(array) for name, array in inputs.items()}


@contextlib.contextmanager
def taking_tokens(model):
    """Lets fit and predict take what `encode` returns instead of strings."""
    preprocessor, model.preprocessor = model.preprocessor, None
    try:
        yield
    finally:
        model.preprocessor = preprocessor


def compile_model(model, settings, steps):
    """Compiles with AdamW, whose learning rate falls linearly to zero."""
    schedule = keras.optimizers.schedules.PolynomialDecay(
        settings.learning_rate, steps, end_learning_rate=0.0
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=settings.jit_compile,
    )


def train(model, task, settings, seed):
    """Fine-tunes a model; returns its history and the median step time."""
    sentences = task.train.first(settings.train_size or len(task.train))
    train_set = batches(model, sentences, settings.batch_size, seed)
    validation = None
    if len(task.validation):
        validation = batches(model, task.validation, settings.batch_size)
    compile_model(model, settings, settings.epochs * len(train_set))
    timer = StepTimer()
    with taking_tokens(model):
        history = model.fit(
            train_set,
            validation_data=validation,
            epochs=settings.epochs,
            shuffle=False,  # the data set does it
            callbacks=[timer],
            verbose=settings.verbose,
        )
    return history.history, timer.median()


def batches(model, sentences, batch_size, seed=None):
    """Returns full batches, in an order that `seed` alone decides.

    All batches have the same shape, so that XLA compiles once; the few sentences
    that fill no batch are left out of an epoch, others in each.
    """
    import tensorflow as tf

    inputs = encode(model.preprocessor, sentences)
    data = tf.data.Dataset.from_tensor_slices((inputs, sentences.labels))
    if seed is not None:
        data = data.shuffle(len(sentences), seed=seed, reshuffle_each_iteration=True)
    batch_size = min(batch_size, len(sentences))
    return data.batch(batch_size, drop_remainder=True).prefetch(2)


def predict(model, inputs, batch_size=64):
    """Returns the probabilities of the classes, float32 (sentences, classes)."""
    count = len(next(iter(inputs.values())))
    # Rows of padding complete the last batch: one shape, one compilation.
    rows = np.arange(-(-count // batch_size) * batch_size) % count
    inputs = {name: array[rows] for name, array in inputs.items()}
    with taking_tokens(model):
        logits = model.predict(inputs, batch_size=batch_size, verbose=0)
    return keras.ops.convert_to_numpy(
        keras.ops.softmax(keras.ops.cast(logits[:count], "float32"))
    )


def score(probabilities, labels):
    """Returns accuracy, Matthews correlation and expected calibration error.

    As fractions; the correlation lies in [-1, 1].
    """
    calibration = keras_align.ExpectedCalibrationError(num_bins=10)
    calibration.update_state(labels, probabilities)
    classes = probabilities.argmax(-1)
    return {
        "accuracy": float(np.mean(classes == labels)),
        "matthews": float(matthews_corrcoef(labels, classes)),
        "ece": float(calibration.result()),
    }


def test(model, task):
    """Returns for each test set what `score` returns, `probabilities` and `labels`."""
    tests = {}
    for name, sentences in task.tests.items():
        probabilities = predict(model, encode(model.preprocessor, sentences))
        tests[name] = score(probabilities, sentences.labels)
        tests[name].update(probabilities=probabilities, labels=sentences.labels)
    return tests


def run_one(task, alignment, seed, settings, alignment_weight=None):
    """Fine-tunes one model from the pre-trained weights and tests it.

    Args:
        task: A `sentences.Task`.
        alignment: String, the alignment's name, an `Alignment`, or `None` or
            `"none"` for soft attention.
        seed: Integer. Decides the new head, the order of the data and the
            dropout; runs with the same seed differ in the alignment alone.
        settings: `Settings`.
        alignment_weight: Float, or `None` for the library's default.

    Returns:
        A dictionary with the keys `alignment`, `weight`, `seed`, `history`,
        `seconds_per_step`, `measure` (what `keras_align.measure_alignment` finds
        on sentences of the first test set; its `total` sums over layers and
        heads), `tests` (what `test` returns) and `model`.
    """
    model = build(settings, len(task.classes), seed)
    if alignment in (None, "none"):
        alignment = alignment_weight = None
    else:
        keras_align.align_model(model, alignment, alignment_weight)
        report = keras_align.alignment_report(model)
        alignment_weight = report.aligned[0].alignment_weight
    history, seconds = train(model, task, settings, seed)
    tests = test(model, task)
    measured = next(iter(task.tests.values())).first(settings.measured)
    inputs = encode(model.preprocessor, measured)
    return {
        "alignment": alignment,
        "weight": alignment_weight,
        "seed": seed,
        "history": history,
        "seconds_per_step": seconds,
        "measure": keras_align.measure_alignment(model, inputs),
        "tests": tests,
        "model": model,
    }
