"""Greedy attacks that replace one word after another, the most important first."""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_align.robustness.stop_words import STOP_WORDS
from keras_align.robustness.worded_text import Text, WordedText
from keras_align.validation import checks

Predict = Callable[[list[Text]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Attacked:
    """What an attack on one text came to.

    Attributes:
        result: `"skipped"`, the model was wrong before; `"succeeded"`, the model is
            wrong about `perturbed`; or `"failed"`.
        perturbed: the text that the attack ended with.
        predicted: int, the class that the model predicts for it.
        words: int, how many words are others.
        queries: int, predictions that the attack needed.
    """

    result: str
    perturbed: Text
    predicted: int
    words: int
    queries: int


class WordAttack(abc.ABC):
    """Replaces words of a text until a classifier is wrong about it.

    Words are ranked by how much the probability of the true class falls when they are
    deleted. For one after another the replacement is taken that makes the classifier
    wrong, of several the one most similar to the text, or else the one with the lowest
    probability of the true class, if that is lower than before.

    Source: Jin et al., "Is BERT Really Robust?", AAAI 2020, algorithm 1; Li et al.,
    "TextBugger", NDSS 2019, algorithm 2.

    Args:
        max_perturbed: float in (0, 1], the share of words that may be others at most,
            rounded down: attacks on texts of few words may have none, and fail.
            Defaults to `1.0`.
        stop_words: iterable of str, words that stay, in lower case. Defaults to common
            English ones.
        similarity: callable from a text and a list of texts to similarities `(n,)`, as
            an `EncoderSimilarity`. Defaults to `None`.
        min_similarity: float, the least that a perturbed text must have to the
            original. Defaults to `0.8`.
        parts: tuple of int, which texts of a tuple may change, as `(1,)` for the
            hypothesis alone. Defaults to `None`, all.
    """

    def __init__(
        self,
        max_perturbed: float = 1.0,
        stop_words: Iterable[str] = STOP_WORDS,
        similarity: Callable[[Text, list[Text]], Any] | None = None,
        min_similarity: float = 0.8,
        parts: tuple[int, ...] | None = None,
    ) -> None:
        checks.positive("max_perturbed", max_perturbed)
        checks.fraction("max_perturbed", max_perturbed)
        if isinstance(stop_words, str) or not isinstance(stop_words, Iterable):
            raise TypeError(
                "Argument `stop_words` must be an iterable of words. Received: "
                f"stop_words={stop_words!r}"
            )
        if not (parts is None or _are_numbers(parts)):
            raise TypeError(
                "Argument `parts` must be a tuple of int >= 0, one or more. Received: "
                f"parts={parts!r}"
            )
        if similarity is not None and not callable(similarity):
            raise TypeError(
                "Argument `similarity` must be a callable or None. Received: "
                f"similarity={similarity!r}"
            )
        checks.fraction("min_similarity", min_similarity)
        self.max_perturbed = float(max_perturbed)
        self.stop_words = frozenset(stop_words)
        self.similarity, self.min_similarity = similarity, min_similarity
        self.parts = parts

    @abc.abstractmethod
    def candidates(self, words: list[str], number: int, rng: Any) -> list[str]:
        """Returns what may take the place of a word.

        Args:
            words: list of str, all words of the text.
            number: int, of the word.
            rng: `numpy.random.Generator`.
        """

    def settings(self) -> dict[str, Any]:
        """What the results depend on, as JSON can hold it."""
        return {
            "attack": type(self).__name__,
            "max_perturbed": self.max_perturbed,
            "stop_words": sorted(self.stop_words),
            "min_similarity": self.min_similarity if self.similarity else None,
            "parts": self.parts and list(self.parts),
        }

    def probe(self, texts: Sequence[Text]) -> dict[str, list]:
        """What the callables of the attack say of texts, by which a log tells others.

        Args:
            texts: sequence of str or of tuples of str.

        Returns:
            Dict of lists, of a float or a str for each text.
        """
        if self.similarity is None:
            return {}
        found = _similarities(self.similarity, texts[0], list(texts))
        return {"similarities": found.round(6).tolist()}

    def attack(self, predict: Predict, text: Text, label: int, rng: Any) -> Attacked:
        """Attacks the prediction of one text.

        Args:
            predict: callable from a list of texts to probabilities `(n, C)`.
            text: str or tuple of str.
            label: int, the true class.
            rng: `numpy.random.Generator`.
        """
        count = 1 if isinstance(text, str) else len(text)
        if self.parts and max(self.parts) >= count:
            raise ValueError(
                f"Argument `parts` must be numbers of the {count} texts that are "
                f"attacked together. Received: parts={self.parts}, text={text!r}"
            )
        search = _Search(predict, WordedText(text), label)
        if search.predicted != label:
            return search.end("skipped")
        words = search.text.words
        numbers = [n for n in range(len(words)) if self._may_change(search.text, n)]
        most = int(self.max_perturbed * len(words) + 1e-9)
        if not most:
            return search.end("failed")
        for number in search.by_importance(numbers):
            if search.changed >= most:
                break
            new = self.candidates(search.text.words, number, rng) or []
            if self._step(search, number, new, text):
                return search.end("succeeded")
        return search.end("failed")

    def _may_change(self, text, number):
        allowed = self.parts is None or text.part_of(number) in self.parts
        return allowed and text.words[number].lower() not in self.stop_words

    def _step(self, search, number, new, original):
        """Tries the replacements of a word; returns whether one was enough."""
        texts = [search.text.replaced(number, word) for word in new]
        similar = np.ones(len(texts))
        if texts and self.similarity is not None:
            found = _similarities(
                self.similarity, original, [each.text for each in texts]
            )
            near = found >= self.min_similarity
            texts = [each for each, ok in zip(texts, near, strict=True) if ok]
            similar = found[near]
        return search.take_best(texts, similar)


def _are_numbers(parts):
    numbers = isinstance(parts, tuple | list) and len(parts)
    return numbers and all(isinstance(x, int) and x >= 0 for x in parts)


def _similarities(similarity, text, others):
    found = np.asarray(similarity(text, others), "float64")
    if found.shape != (len(others),):
        raise ValueError(
            "Argument `similarity` must return similarities of the shape "
            f"({len(others)},) for {len(others)} texts. Received: {found.shape}"
        )
    return found


class _Search:
    """The text that an attack has come to, and what the model says of it."""

    def __init__(self, predict, text, label):
        self.predict, self.label, self.queries = predict, label, 0
        self.text, self.changed = text, 0
        (probabilities,) = self._ask([text])
        self._now(probabilities)

    def _ask(self, texts):
        self.queries += len(texts)
        asked = [each.text for each in texts]
        found = np.asarray(self.predict(asked))
        shape = len(texts), found.shape[-1] if found.ndim else 0
        if found.shape != shape or self.label >= shape[1]:
            raise ValueError(
                f"The model must give probabilities of the shape ({len(texts)}, C), "
                f"C > {self.label}. Received: shape {found.shape}"
            )
        wrong = np.flatnonzero(np.isnan(found).any(axis=-1))
        if len(wrong):
            raise ValueError(
                "The model must give probabilities without NaN. Received: "
                f"{found[wrong[0]]} for {asked[wrong[0]]!r:.200}"
            )
        return found

    def _now(self, probabilities):
        self.predicted = int(np.argmax(probabilities))
        self.of_label = float(probabilities[self.label])

    def by_importance(self, numbers):
        """Numbers of words, those first whose absence lowers the true class most."""
        if len(numbers) < 2:  # without its only word a text would be empty
            return numbers
        without = self._ask([self.text.replaced(n, "") for n in numbers])
        order = np.argsort(without[:, self.label], kind="stable")
        return [numbers[k] for k in order]

    def take_best(self, texts, similar):
        """Goes on with the best of some texts; returns whether the model is wrong."""
        if not texts:
            return False
        probabilities = self._ask(texts)
        wrong = np.flatnonzero(probabilities.argmax(axis=-1) != self.label)
        if len(wrong):
            best = wrong[np.argmax(similar[wrong])]
        else:
            best = int(np.argmin(probabilities[:, self.label]))
        if len(wrong) or probabilities[best, self.label] < self.of_label:
            self.text, self.changed = texts[best], self.changed + 1
            self._now(probabilities[best])
        return bool(len(wrong))

    def end(self, result):
        text = self.text.text
        return Attacked(result, text, self.predicted, self.changed, self.queries)
