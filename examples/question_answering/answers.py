"""Answers from the logits of their ends, and how good they are.

Exact match and F1 are those of the official evaluation (Rajpurkar et al., 2016, 2018):
of all reference answers the best counts, compared without case, punctuation and
articles.
"""

import collections
import dataclasses
import re
import string

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclasses.dataclass(frozen=True)
class Answer:
    """A part of a text that may answer a question.

    Args:
        text: String.
        score: Float, the sum of the logits of its first and last token.
        probability: Float, of the `n_best` answers.
    """

    text: str
    score: float
    probability: float = 1.0


@dataclasses.dataclass(frozen=True)
class Answers:
    """The best answers to a question.

    Args:
        best: List of `Answer`s, the best first. Empty for a text without words, or if
            no pair of the `n_best` starts and ends is a span of at most `longest`
            tokens.
        null_score: Float, the score that there is no answer: the least over windows of
            the sum of the logits of the first token.
    """

    best: list
    null_score: float

    @property
    def margin(self):
        """How much the score of no answer is above that of the best answer."""
        return self.null_score - self.best[0].score if self.best else np.inf

    def text(self, threshold=np.inf):
        """Returns the best answer, or "" if the `margin` is above the threshold."""
        return self.best[0].text if self.best and self.margin <= threshold else ""


def find_answers(windows, logits, n_best=20, longest=30):
    """Returns the `Answers` to all questions.

    Spans of all windows are compared, and the best score of each answer counts. The
    code of Devlin et al. (2019) differs in two points: of windows that overlap, only
    that where the first token of a span has the most context gives its score, and the
    `n_best` starts and ends are of the whole row, with those outside the text left out
    afterwards.

    Args:
        windows: `windows.Windows`.
        logits: Dictionary with "start" and "end", float arrays (windows, T).
        n_best: Integer, of starts and of ends in each window, and of answers.
        longest: Integer, the most tokens of an answer.
    """
    found = [{} for _ in windows.texts]
    null_scores = np.full(len(windows.texts), np.inf)
    for window, start, end in zip(
        windows.windows, logits["start"], logits["end"], strict=True
    ):
        null = float(start[0] + end[0])
        number = window.question
        null_scores[number] = min(null_scores[number], null)
        of_text = slice(window.begin, window.end)
        for first, last, score in spans(start[of_text], end[of_text], n_best, longest):
            within = window.first + first, window.first + last
            text = windows.texts[number].between(*within)
            found[number][text] = max(score, found[number].get(text, -np.inf))
    return [
        Answers(ranked(scores, n_best), float(null))
        for scores, null in zip(found, null_scores, strict=True)
    ]


def spans(start, end, n_best, longest):
    """Yields first and last place, and score, of the best spans of a window."""
    starts, ends = (np.argsort(-each, kind="stable")[:n_best] for each in (start, end))
    for first in starts:
        for last in ends:
            if first <= last < first + longest:
                yield int(first), int(last), float(start[first] + end[last])


def ranked(scores, n_best):
    """Returns `Answer`s from a dictionary of scores, the best first."""
    best = sorted(scores.items(), key=lambda item: -item[1])[:n_best]
    if not best:
        return []
    weights = np.exp(np.array([score for _, score in best]) - best[0][1])
    shares = weights / weights.sum()
    return [
        Answer(text, score, float(share))
        for (text, score), share in zip(best, shares, strict=True)
    ]


def normalise(answer):
    """Returns an answer in lower case without punctuation, articles and spacing."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def wanted(references):
    """Returns the normalised references; "" if there are none with a word."""
    return [x for x in map(normalise, references) if x] or [""]


def exact_match(predicted, references):
    """Returns 1.0 if an answer is one of the references, else 0.0.

    An empty list of references says that there is no answer.
    """
    return float(normalise(predicted) in wanted(references))


def f1(predicted, references):
    """Returns the best F1 of the words of an answer over the references."""
    return max(_f1(normalise(predicted), each) for each in wanted(references))


def _f1(predicted, reference):
    predicted, reference = predicted.split(), reference.split()
    if not predicted or not reference:
        return float(predicted == reference)
    common = collections.Counter(predicted) & collections.Counter(reference)
    count = sum(common.values())
    return 2 * count / (len(predicted) + len(reference))


SCORES = {"exact_match": exact_match, "f1": f1}


def evaluate(answers, references, threshold=np.inf):
    """Returns `exact_match` and `f1`, means over questions."""
    pairs = [
        (answer.text(threshold), of_question)
        for answer, of_question in zip(answers, references, strict=True)
    ]
    return {
        "exact_match": float(np.mean([exact_match(*pair) for pair in pairs])),
        "f1": float(np.mean([f1(*pair) for pair in pairs])),
    }


def best_threshold(answers, references, score=f1):
    """Returns the margin up to which answers give the highest score.

    The official evaluation of SQuAD v2.0 reports each score with its own, chosen on
    the same questions.
    """
    if not answers:
        raise ValueError("Argument `answers` must be of one question or more.")
    margins = np.array([answer.margin for answer in answers])
    gains = np.array([
        score(answer.text(), of_question) - score("", of_question)
        for answer, of_question in zip(answers, references, strict=True)
    ])  # fmt: skip
    order = np.argsort(margins, kind="stable")
    margins = margins[order]
    # With the k smallest margins answered, their gains are added.
    sums = np.concatenate([[0.0], np.cumsum(gains[order])])
    apart = np.concatenate([[True], margins[1:] > margins[:-1], [True]])
    kept = int(np.argmax(np.where(apart, sums, -np.inf)))
    return float(margins[kept - 1] if kept else np.nextafter(margins[0], -np.inf))
