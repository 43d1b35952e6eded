"""What fine-tuning a classifier consists of, and how it is tested.

The functions of this module are the steps of `finetune_bert.py`, for scripts that
combine them in other ways; `repeated_runs.py` puts them together.
"""

import collections
import contextlib
import dataclasses

import keras
import keras_nlp
import numpy as np
import scoring
from keras import ops
from scipy import stats
from scoring import softmax
from sklearn.metrics import f1_score, matthews_corrcoef

import keras_align


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a model is fine-tuned.

    Args:
        preset: String or path, any preset of a keras-nlp text classifier.
        precision: String, the dtype policy of the model.
        dropout: Float, that of the backbone, or `None` for the preset's own.
        sequence_length: Integer. Tokens per sentence; longer ones are cut.
        length_buckets: Integer. With 2 or more, batches have sentences of like
            lengths, and padding is cut to one of that many lengths, for each of which
            XLA compiles (in the first run, whose times have it).
        train_size: Integer, the most sentences trained on, or `None` for all.
        batch_size: Integer.
        epochs: Integer.
        learning_rate: Float, which is reached after `warm_up` and falls linearly to
            zero.
        warm_up: Float in [0, 1), the share of the steps in which the learning rate
            and the weight of the alignment rise linearly.
        weight_decay: Float, that of AdamW; biases and normalisations are spared.
        clip_norm: Float, to which the norm of all gradients is cut, or `None`.
        jit_compile: Bool, whether to compile with XLA.
        measured: Integer, the sentences on which keys and queries are compared.
        matching: Integer, the training sentences on which moments are matched.
        verbose: Integer, as in `keras.Model.fit`.
    """

    preset: str
    precision: str = "float32"
    dropout: float | None = None
    sequence_length: int = 32
    length_buckets: int = 1
    train_size: int | None = 1024
    batch_size: int = 16
    epochs: int = 2
    learning_rate: float = 2e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float | None = None
    jit_compile: bool = True
    measured: int = 128
    matching: int = 256
    verbose: int = 1

    def sentences(self, task):
        """Returns the training sentences of a `sentences.Task` that are used."""
        return task.train.first(self.train_size or len(task.train))

    @property
    def buckets(self):
        """The lengths to which padding is cut, `None` if it is not."""
        count = self.length_buckets
        if count == 1:
            return None
        return [-(-self.sequence_length * k // count) for k in range(1, count + 1)]

    def warm_up_steps(self, steps):
        """Returns how many of `steps` belong to the warm-up."""
        return round(self.warm_up * steps)


@keras.saving.register_keras_serializable(package="fine_tuning")
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise of the learning rate, then a linear fall to zero.

    Args:
        learning_rate: Float, the highest rate.
        steps: Integer, after which the rate is zero.
        warm_up_steps: Integer, of the rise; fewer than `steps`.
    """

    def __init__(self, learning_rate, steps, warm_up_steps=0):
        self.learning_rate, self.steps = learning_rate, steps
        self.warm_up_steps = warm_up_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(self.warm_up_steps, 1)
        fall = (self.steps - step) / (self.steps - self.warm_up_steps)
        return self.learning_rate * ops.maximum(ops.minimum(rise, fall), 0.0)

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "warm_up_steps": self.warm_up_steps,
        }


def build(settings, num_classes, seed):
    """Returns a classifier with pre-trained weights and a new head.

    The same seed gives the same head and the same dropout, whatever is done to
    the model afterwards. One class is for a number, as in STS-B.
    """
    keras.utils.set_random_seed(seed)
    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        str(settings.preset), sequence_length=settings.sequence_length
    )
    options = {"dtype": settings.precision}
    if settings.dropout is not None:
        options["backbone"] = keras_nlp.models.Backbone.from_preset(
            str(settings.preset), dropout=settings.dropout, **options
        )
    model = keras_nlp.models.TextClassifier.from_preset(
        str(settings.preset),
        num_classes=num_classes,
        preprocessor=preprocessor,
        **options,
    )
    check_length(model.backbone, settings.sequence_length)
    return model


def check_length(backbone, length):
    """Refuses more tokens than a backbone has positions for."""
    longest = getattr(backbone, "max_sequence_length", None)
    if longest is not None and length > longest:
        raise ValueError(
            f"--sequence-length must be at most the {longest} tokens that the preset "
            f"takes, not {length}"
        )


def suitable_length(task, preset, longest=256, share=0.95):
    """Returns a sequence length that holds a share of the sentences whole.

    It is a multiple of 16, at most `longest`.
    """
    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        str(preset), sequence_length=longest
    )
    inputs = encode(preprocessor, task.train.first(1000))
    return int(-(-np.quantile(lengths(inputs), share) // 16) * 16)


def encode(preprocessor, sentences):
    """Returns `sentences` as a model's inputs, a dictionary of arrays."""
    columns = tuple(np.array(column, object) for column in sentences.columns)
    texts = columns if len(columns) > 1 else columns[0]
    # With nothing else, a pair would be taken for sentences and labels.
    inputs = preprocessor(texts, None)
    return {name: ops.convert_to_numpy(array) for name, array in inputs.items()}


@contextlib.contextmanager
def taking_tokens(model):
    """Lets fit and predict take what `encode` returns instead of strings."""
    preprocessor, model.preprocessor = model.preprocessor, None
    try:
        yield
    finally:
        model.preprocessor = preprocessor


def lengths(inputs):
    """Returns how many tokens each row of a model's inputs has, without padding."""
    return inputs["padding_mask"].sum(axis=-1)


def targets(task, sentences):
    """Returns what a model is to predict: one-hot classes, or one number each.

    Numbers are those of the labels of training with mean 0 and deviation 1: a new head
    begins there, and correlations stay.
    """
    if task.is_regression:
        mean, deviation = task.train.labels.mean(), task.train.labels.std()
        numbers = (sentences.labels - mean) / max(deviation, 1e-6)
        return numbers[:, None].astype("float32")
    return np.eye(len(task.classes), dtype="float32")[sentences.labels]


def compile_model(model, settings, steps, label_smoothing=0.0, loss=None):
    """Compiles with AdamW for one-hot labels; the rate warms up, then falls to zero.

    Another `loss`, as "mse", takes the place of the cross-entropy.
    """
    if loss and label_smoothing:
        raise ValueError(
            f"Label smoothing is for one-hot labels. Received: loss={loss!r}"
        )
    schedule = WarmUpAndDecay(
        settings.learning_rate, steps, settings.warm_up_steps(steps)
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    cross_entropy = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=label_smoothing
    )
    model.compile(
        optimizer=optimizer,
        loss=loss or cross_entropy,
        metrics=[] if loss else metrics,  # `None` would keep those of keras-hub
        jit_compile=settings.jit_compile,
    )
    # Or TensorFlow traces the step twice: in the first trace it makes these variables.
    model.optimizer.build(model.trainable_variables)


def predict(model, inputs, batch_size=64, buckets=None):
    """Returns the logits of the classes, float32 (sentences, classes).

    With `buckets`, see `Settings`, sentences of like lengths are predicted together.
    """
    if buckets is None:
        return predict_rows(model, inputs, batch_size)
    found, order = [], []
    for rows, cut in by_length(inputs, buckets):
        found.append(predict_rows(model, cut, batch_size))
        order.append(rows)
    return np.concatenate(found)[np.argsort(np.concatenate(order))]


def by_length(inputs, buckets):
    """Yields the rows that fit each of some lengths, and their inputs, cut to it."""
    places = np.searchsorted(buckets[:-1], lengths(inputs))  # the last takes the rest
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        end = buckets[place] if place < len(buckets) - 1 else None
        yield rows, {name: array[rows, :end] for name, array in inputs.items()}


def predict_rows(model, inputs, batch_size):
    """Returns what a model does, as float32 arrays."""
    count = len(next(iter(inputs.values())))
    # Rows of padding complete the last batch: one shape, one compilation.
    rows = np.arange(-(-count // batch_size) * batch_size) % count
    inputs = {name: array[rows] for name, array in inputs.items()}
    with taking_tokens(model):
        outputs = model.predict(inputs, batch_size=batch_size, verbose=0)
    return keras.tree.map_structure(
        lambda each: ops.convert_to_numpy(ops.cast(each[:count], "float32")), outputs
    )


def score(probabilities, labels):
    """Returns what `scoring.score` does, and what GLUE judges by.

    `f1`, of the second class where there are two, and `matthews`, the Matthews
    correlation.
    """
    predicted = probabilities.argmax(-1)
    found = {"matthews": float(matthews_corrcoef(labels, predicted))}
    if probabilities.shape[-1] == 2:
        found["f1"] = float(f1_score(labels, predicted, zero_division=0.0))
    return scoring.score(probabilities, labels) | found


def score_numbers(predicted, labels):
    """Returns `pearson` and `spearman`, correlations; NaN where all are equal."""
    if not np.isfinite(predicted).all() or np.ptp(predicted) == 0:
        return {"pearson": np.nan, "spearman": np.nan}
    return {
        "pearson": float(stats.pearsonr(predicted, labels).statistic),
        "spearman": float(stats.spearmanr(predicted, labels).statistic),
    }


def fit_temperature(model, task, buckets=None):
    """Returns `keras_align.TemperatureScaling`, fitted on the validation sentences.

    `None` if training has diverged.
    """
    inputs = encode(model.preprocessor, task.validation)
    logits = predict(model, inputs, buckets=buckets)
    if not np.isfinite(logits).all():
        return None
    scaling = keras_align.TemperatureScaling()
    scaling.fit(logits, task.validation.labels)
    return scaling


def test(model, task, scaling=None, buckets=None):
    """Returns for each test set what `score` returns, `probabilities` and `labels`.

    With a `keras_align.TemperatureScaling` also `scaled_ece`, `scaled_nll` and
    `scaled_brier`, those of the logits that it has divided. For numbers in place of
    classes what `score_numbers` returns, and `labels`. All scores of a test are NaN if
    training has diverged.
    """
    tests = {}
    for name, sentences in task.tests.items():
        inputs, labels = encode(model.preprocessor, sentences), sentences.labels
        logits = predict(model, inputs, buckets=buckets)
        if task.is_regression:
            tests[name] = score_numbers(logits[:, 0], labels) | {"labels": labels}
            continue
        probabilities = softmax(logits)
        if not np.isfinite(logits).all():
            tests[name] = collections.defaultdict(lambda: np.nan, labels=labels)
            tests[name]["probabilities"] = probabilities
            continue
        tests[name] = score(probabilities, labels)
        if scaling is not None:
            scaled = score(softmax(scaling(logits)), labels)
            keys = ("ece", "nll", "brier")
            tests[name] |= {f"scaled_{key}": scaled[key] for key in keys}
        tests[name].update(probabilities=probabilities, labels=labels)
    return tests
