"""Sections of a report about what the models answer."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_align.reports import figures
from keras_align.reports.answers import (
    Answers,
    in_bins,
    paired_intervals,
    scores,
)
from keras_align.reports.elements import Element, element, table
from keras_align.reports.examining import Examination

Pair = tuple[Examination, Examination]
LEVEL = 0.05  # of significance
FEWEST = 30  # samples from which on a mean has an interval
_SCORES = {  # title, factor, digits, whether larger is better
    "accuracy": ("accuracy, %", 100.0, 1, True),
    "ece": ("ECE, %", 100.0, 1, False),
    "nll": ("NLL, nats", 1.0, 3, False),
    "brier": ("Brier score", 1.0, 3, False),
}


def comparison(titles: list[str], models: Pair, seed: int) -> Iterator[Element]:
    """Accuracy and calibration on every data set, with intervals of the change."""
    for name, old in models[0].answers.items():
        new = models[1].answers[name]
        limits = paired_intervals(old, new, seed)
        before, after = scores(old), scores(new)
        rows = []
        for score, (title, factor, digits, larger) in _SCORES.items():
            pair = factor * before[score], factor * after[score]
            interval = None
            if score in limits and len(old.labels) >= FEWEST:
                low, high = (factor * limit for limit in limits[score])
                interval = round(low, digits), round(high, digits)
            verdict = judge(score, interval, larger, old, new)
            cells = [f"{value:.{digits}f}" for value in pair]
            rows.append([title, *cells, _change(pair, interval, digits, verdict)])
        caption = f"{name}: {len(old.labels):,} samples"
        yield table(caption, ["score", *titles, "change [95% interval]"], rows)
    count = len(limits) * len(models[0].answers)
    yield element(
        "p",
        "The intervals are of a bootstrap over the samples: they say what these two "
        "models would do on other samples of the same kind, not what training with "
        f"other seeds would give. Of {count} such intervals {count / 20:.1f} miss by "
        "chance, on average. Accuracy is judged by McNemar's exact test. The expected "
        "calibration error (ECE, 10 bins) of a sample is too large, the more so the "
        "better a model is calibrated, so its change has no interval.",
        class_="muted",
    )


def judge(
    score: str,
    interval: tuple[float, float] | None,
    larger_is_better: bool,
    old: Answers,
    new: Answers,
) -> str:
    """Returns "better", "worse", or "" where that cannot be told.

    Args:
        score: string, a key of what `answers.scores` returns.
        interval: 95% interval of the change, as it is shown.
        larger_is_better: bool.
        old: `Answers` before.
        new: `Answers` after.
    """
    if score == "accuracy":
        gained, lost = gained_and_lost(old, new)
        if mcnemar(gained, lost) >= LEVEL:
            return ""
        return "better" if gained > lost else "worse"
    if interval is None:
        return ""
    low, high = interval
    if low <= 0.0 <= high:
        return ""
    return "better" if (low > 0.0) == larger_is_better else "worse"


def gained_and_lost(old: Answers, new: Answers) -> tuple[int, int]:
    """How many answers went from wrong to right, and from right to wrong."""
    gained, lost = new.correct & ~old.correct, old.correct & ~new.correct
    return int(gained.sum()), int(lost.sum())


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value that as many answers are gained as lost."""
    count, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**count)


def _change(pair, interval, digits, verdict):
    text = f"{pair[1] - pair[0]:+z.{digits}f}"
    if interval is not None:
        text += " [{:+z.{d}f}, {:+z.{d}f}]".format(*interval, d=digits)
    marked = element("span", f" {verdict}", class_=verdict) if verdict else ""
    return element("td", text, marked)


def diagrams(titles: list[str], models: Pair) -> Iterator[Element]:
    """Reliability diagrams, and their numbers."""
    yield element(
        "p",
        "Bars: accuracy of the samples in each bin of confidence. Outlines: their mean "
        "confidence. A bar below its outline is overconfident.",
    )
    for name, old in models[0].answers.items():
        both = dict(zip(titles, (old, models[1].answers[name]), strict=True))
        drawn = [
            figures.reliability(f"{name}, {title}", each, scores(each)["ece"])
            for title, each in both.items()
        ]
        yield element("div", *drawn, class_="side-by-side")
        tables = [_bins(f"{name}, {title}", each) for title, each in both.items()]
        yield element("details", element("summary", "The numbers"), *tables)


def _bins(caption, answers):
    rows = [
        [
            f"{low:.1f} to {high:.1f}",
            f"{count:,}",
            f"{100 * accuracy:.1f}",
            f"{100 * confidence:.1f}",
        ]
        for low, high, count, accuracy, confidence in in_bins(answers)
    ]
    titles = ["confidence", "samples", "accuracy, %", "mean confidence, %"]
    return table(caption, titles, rows)


def changes(
    titles: list[str],
    models: Pair,
    shown: Mapping[str, list[str] | None],
    class_names: list[str],
    most: int,
) -> Iterator[Element]:
    """Samples that the models answer differently, the surest first."""
    for name, old in models[0].answers.items():
        new = models[1].answers[name]
        changed = np.flatnonzero(old.classes != new.classes)
        gained, lost = gained_and_lost(old, new)
        yield element(
            "p",
            f"{name}: {len(changed):,} of {len(old.labels):,} answers changed, "
            f"{gained} from wrong to right, {lost} from right to wrong.",
        )
        sure = (old.confidence + new.confidence)[changed]
        chosen = changed[np.argsort(-sure, kind="stable")][:most]
        items = [
            _changed(n, shown[name], titles, (old, new), class_names) for n in chosen
        ]
        if items:
            yield element("ol", *items, class_="changes")


def _changed(
    index: int,
    shown: list[str] | None,
    titles: list[str],
    both: tuple[Answers, Answers],
    class_names: list[str],
) -> Element:
    text = shown[index] if shown else f"sample {index}"
    parts: list[Any] = [f"true: {class_names[both[0].labels[index]]}. "]
    for title, answers in zip(titles, both, strict=True):
        percent = 100 * answers.confidence[index]
        right = "right" if answers.correct[index] else "wrong"
        mark = element("span", right, class_="better" if right == "right" else "worse")
        parts += [
            f"{title}: {class_names[answers.classes[index]]} ({percent:.0f}%), ",
            mark,
        ]
        parts.append(". ")
    quoted = element("blockquote", element("bdi", text))
    return element("li", quoted, element("div", *parts, class_="muted"))
