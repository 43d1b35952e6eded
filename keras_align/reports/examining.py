"""What a report needs of one model, taken at one time."""

import sys
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_align.diagnostics.measuring import AlignmentMeasure, PooledTokens
from keras_align.diagnostics.recording import records
from keras_align.diagnostics.reporting import AlignmentReport, alignment_report
from keras_align.diagnostics.unchanged_state import unchanged_state
from keras_align.reports import data_sets
from keras_align.reports.answers import Answers, answer
from keras_align.reports.data_sets import DataSet
from keras_align.validation import checks

TOKENS = 2048  # most queries, and keys, of a head that are measured
POINTS = 250  # and that are drawn


@dataclass(frozen=True, repr=False)
class Examination:
    """What `examine` found of a model.

    Attributes:
        name: string, of the model.
        layers: `AlignmentReport`.
        measure: `AlignmentMeasure`, as keys and queries are.
        matched: `AlignmentMeasure` that remains with matched moments.
        points: dict from layer path to two arrays `(tokens, N, H)`, a sample of
            queries and of keys.
        answers: dict from the title of a data set to its `Answers`.
        facts: dict of strings, how the model was compiled and its precision.
        measured_on: dict, what decides the numbers beside the model, see `conditions`.
    """

    name: str
    layers: AlignmentReport
    measure: AlignmentMeasure
    matched: AlignmentMeasure
    points: dict[str, list[np.ndarray]]
    answers: dict[str, Answers]
    facts: dict[str, str]
    measured_on: dict[str, Any]

    def __repr__(self) -> str:
        return (
            f"<Examination of '{self.name}': total MMD {self.measure.total:z.3f}, "
            f"answers to {list(self.answers)}>"
        )


def examine(
    model: keras.Model,
    data: Any,
    samples: int = 128,
    from_logits: bool | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> Examination:
    """Takes from a model what a report needs, before the model changes.

    `align_model` and `fit` change a model in place: examine it before, and give what
    this returns to `report` as `before`.

    Args:
        model: `keras.Model` with attention that `align_model` can convert, plain or
            aligned.
        data: as in `report`.
        samples: int > 0, how many samples of the first data set, drawn at random, keys
            and queries are measured on. Defaults to `128`.
        from_logits: bool, whether the model returns logits, or `None`, the default:
            outputs that sum to 1 are probabilities.
        batch_size: int > 0. Defaults to `32`.
        seed: int >= 0, of the samples of tokens. Defaults to `0`.

    Returns:
        An `Examination`. The model stays as it is.

    Raises:
        ValueError: if an argument is wrong, the model calls no attention layer, its
            outputs do not fit the labels, or queries or keys are not finite.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras.Model(inputs, x)
    >>> data = np.random.randn(4, 5, 16), None  # without labels
    >>> keras_align.reports.examine(model, data).measure.values.shape
    (1, 2)
    """
    _check(model, samples, from_logits, batch_size, seed)
    sets = data_sets.read(data)
    few = sets[0].some(samples, seed)
    pooled, drawn = PooledTokens(TOKENS, seed), PooledTokens(POINTS, seed)
    with unchanged_state(model):
        answers = {
            each.title: answer(model, each, batch_size, from_logits)
            for each in sets
            if each.labels is not None
        }
        for path, record in records(model, few, batch_size, scores=False):
            _check_finite(model, path, record)
            pooled.add(path, record)
            drawn.add(path, record)
    return Examination(
        name=model.name,
        layers=alignment_report(model),
        measure=pooled.measure(model),
        matched=pooled.measure(model, matched=True),
        points=drawn.samples,
        answers=answers,
        facts=_facts(model),
        measured_on=conditions(sets, samples, seed),
    )


def conditions(sets: list[DataSet], samples: int, seed: int) -> dict[str, Any]:
    """What decides the numbers of a report beside the model, by argument."""
    digests = {each.title: each.digest for each in sets}
    return {"data": digests, "samples": samples, "seed": seed}


def versions() -> dict[str, str]:
    """The versions that a result depends on, by name."""
    import keras_align

    backend = keras.backend.backend()
    loaded = sys.modules.get(backend)
    return {
        "keras_align": keras_align.__version__,
        "Keras": keras.__version__,
        "backend": f"{backend} {getattr(loaded, '__version__', '')}".strip(),
        "NumPy": np.__version__,
        "Python": sys.version.split()[0],
    }


def _check(model, samples, from_logits, batch_size, seed):
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Argument `model` must be a keras.Model. Received: model={model!r}"
        )
    checks.positive_integer("samples", samples)
    checks.positive_integer("batch_size", batch_size)
    checks.count("seed", seed)
    if not (from_logits is None or isinstance(from_logits, bool)):
        raise ValueError(
            "Argument `from_logits` must be a bool or None. "
            f"Received: from_logits={from_logits!r}"
        )


def _check_finite(model, path, record):
    real = {
        "query": record.query[record.query_mask],
        "key": record.key[record.key_mask],
    }
    for name, tokens in real.items():
        if not np.isfinite(tokens).all():
            raise ValueError(
                f"Argument `model` must have finite queries and keys. Received: "
                f"'{model.name}' with a {name} of '{path}' that is not"
            )


def _facts(model):
    facts = {"precision": model.dtype_policy.name}
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        facts["optimizer"] = type(optimizer).__name__
        facts["XLA"] = "yes" if getattr(model, "jit_compile", False) else "no"
    facts["weights"] = f"{model.count_params():,}"
    return facts
