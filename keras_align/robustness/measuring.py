"""The accuracy of a classifier while its inputs are attacked."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_align.robustness.attack_log import RESULTS, AttackLog, plain
from keras_align.robustness.keras_model_wrapper import KerasModelWrapper, is_text
from keras_align.robustness.word_attack import WordAttack
from keras_align.robustness.worded_text import Text
from keras_align.validation import checks

_QUANTILE = 1.959964  # of the normal distribution, for 95%
_COMPARED = 16  # texts by which a log tells another model
_TIE = 1e-3  # a difference of probabilities that rounding may make


@dataclasses.dataclass(frozen=True)
class Robustness:
    """What attacks on a classifier came to.

    Attributes:
        examples: list of dicts, one for each text: `"index"`, `"text"`, `"label"` and
            the attributes of `Attacked`.
    """

    examples: list[dict[str, Any]]

    def _count(self, *results):
        return sum(each["result"] in results for each in self.examples)

    @property
    def accuracy(self) -> float:
        """The share of texts that the classifier is right about."""
        return 1.0 - self._count("skipped") / len(self.examples)

    @property
    def accuracy_under_attack(self) -> float:
        """The share of texts that it is right about after the attack."""
        return self._count("failed") / len(self.examples)

    @property
    def failed_attacks(self) -> float:
        """The share of attacks that fail; NaN if there was nothing to attack."""
        attacks = self._count("failed", "succeeded")
        return self._count("failed") / attacks if attacks else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `failed_attacks` (Wilson 1927)."""
        attacks = self._count("failed", "succeeded")
        if not attacks:
            return float("nan"), float("nan")
        share, square = self.failed_attacks, _QUANTILE**2
        middle = (share + square / (2 * attacks)) / (1 + square / attacks)
        variance = share * (1 - share) / attacks + square / (4 * attacks**2)
        half = _QUANTILE * variance**0.5 / (1 + square / attacks)
        return max(middle - half, 0.0), min(middle + half, 1.0)

    @property
    def queries(self) -> float:
        """The mean number of predictions that an attack needed."""
        counts = [x["queries"] for x in self.examples if x["result"] != "skipped"]
        return float(np.mean(counts)) if counts else float("nan")

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{len(self.examples)} texts: accuracy {self.accuracy:.1%}, under attack "
            f"{self.accuracy_under_attack:.1%}; failed attacks "
            f"{self.failed_attacks:.1%} [{low:.1%}, {high:.1%}]"
        )


def measure_robustness(
    model: keras.Model | KerasModelWrapper | Callable[[list[Text]], Any],
    texts: Sequence[Text],
    labels: Sequence[int],
    attack: WordAttack,
    seed: int = 0,
    log: Any = None,
    verbose: int = 1,
) -> Robustness:
    """Attacks the prediction of every text that a classifier is right about.

    Every text has random numbers of its own, so that results do not depend on the
    others, nor on whether a run was interrupted.

    Args:
        model: text classifier of keras-hub that gives logits, or a `KerasModelWrapper`
            for any other, or a callable from a list of texts to probabilities `(n, C)`.
        texts: sequence of str, or of tuples of str.
        labels: sequence of int, the true classes.
        attack: `CharacterAttack`, `WordSwapAttack` or another `WordAttack`.
        seed: int. Defaults to `0`.
        log: path of a file of JSON lines: the settings, and a line for every text. If
            it is there, and of the same model, the texts in it are not attacked again.
            Another model, similarity or tagger is told by what it says of the first
            texts, and a model by some attacked ones. Defaults to `None`.
        verbose: `0` or `1`, whether to show progress. Defaults to `1`.

    Returns:
        `Robustness`.

    Raises:
        TypeError: if `model` or `attack` is of no such type.
        ValueError: if texts and labels are not equally many, or none, if an element of
            `texts` is no text, or if `log` is of another model, attack or texts.

    Example:

    >>> def predict(texts):  # of a classifier that looks for a word
    ...     good = np.array(["good" in text for text in texts])
    ...     return np.stack([~good, good], axis=-1).astype("float32")
    >>> attack = keras_align.robustness.CharacterAttack()
    >>> print(keras_align.robustness.measure_robustness(
    ...     predict, ["A good film.", "A bad film."], [1, 0], attack, verbose=0
    ... ))
    2 texts: accuracy 100.0%, under attack 50.0%; failed attacks 50.0% [9.5%, 90.5%]
    """
    checks.count("seed", seed)
    _check_types(model, attack)
    _check_texts(texts, labels)
    predict = KerasModelWrapper(model) if isinstance(model, keras.Model) else model
    answers = np.asarray(predict(list(texts[:_COMPARED])), "float64")
    labels = _checked_labels(labels, answers)
    settings = {**attack.settings(), "seed": int(seed)}
    probes = {"answers": answers.round(6).tolist()}
    probes |= attack.probe(texts[:_COMPARED]) if log is not None else {}
    done = AttackLog(log, settings, probes)
    _check_logged(predict, list(done.examples.values()), log)
    progress = keras.utils.Progbar(
        len(texts), verbose=verbose, stateful_metrics=RESULTS
    )
    examples = []
    for index, (text, label) in enumerate(zip(texts, labels, strict=True)):
        key = {"index": index, "text": plain(text), "label": int(label)}
        example = done.find(key)
        if example is None:
            rng = np.random.default_rng((seed, index))
            attacked = attack.attack(predict, text, int(label), rng)
            found = dataclasses.asdict(attacked)
            example = {**key, **found, "perturbed": plain(attacked.perturbed)}
            done.add(example)
        examples.append(example)
        results = [each["result"] for each in examples]
        progress.update(index + 1, [(name, results.count(name)) for name in RESULTS])
    return Robustness(examples)


def _check_types(model, attack):
    if not callable(model):
        raise TypeError(
            "Argument `model` must be a text classifier of keras-hub, a "
            f"KerasModelWrapper or a callable. Received: model={model!r:.80}"
        )
    if not isinstance(attack, WordAttack):
        raise TypeError(
            "Argument `attack` must be a WordAttack, as CharacterAttack(). Received: "
            f"attack={attack!r:.80}"
        )


def _check_texts(texts, labels):
    sized = all(
        hasattr(x, "__len__") and not isinstance(x, str) for x in (texts, labels)
    )
    if not sized or len(texts) != len(labels) or not len(texts):
        raise ValueError(
            "Arguments `texts` and `labels` must be sequences, equally many, one or "
            f"more. Received: {texts!r:.80}, {labels!r:.80}"
        )
    for index, text in enumerate(texts):
        if not is_text(text):
            raise ValueError(
                "Argument `texts` must have elements that are str or tuples of str. "
                f"Received: {text!r:.80} at {index}"
            )


def _check_logged(predict, examples, log):
    """Refuses a log whose attacked texts the model sees otherwise."""
    attacked = [x for x in examples if x["result"] != "skipped"][:_COMPARED]
    if not attacked:
        return
    texts = [_as_text(each["perturbed"]) for each in attacked]
    for each, now in zip(attacked, np.asarray(predict(texts)), strict=True):
        was = each["predicted"]
        if was >= len(now) or now[was] < max(now) - _TIE:
            raise ValueError(
                f"Argument `log` must be a new file, or of the same model, which now "
                f"predicts {int(np.argmax(now))} for {each['perturbed']!r:.80}. "
                f"Received: {log}, where it predicted {was}"
            )


def _as_text(text):
    return text if isinstance(text, str) else tuple(text)


def _checked_labels(labels, answers):
    """The labels as int, if they are classes of the model."""
    if answers.ndim != 2 or not np.isfinite(answers).all():
        raise ValueError(
            "Argument `model` must give finite probabilities of the shape (n, C). "
            f"Received: {answers}"
        )
    classes, found = answers.shape[1], np.asarray(labels)
    numbers = found.ndim == 1 and found.dtype.kind in "biuf"
    if not numbers or not np.isin(found, np.arange(classes)).all():
        raise ValueError(
            f"Argument `labels` must be integers in [0, {classes}). Received: {labels}"
        )
    return found.astype(int).tolist()
