"""The sections of a report."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_align.diagnostics.layer_names import short_names
from keras_align.reports import figures
from keras_align.reports.answers import Answers, paired_intervals, scores
from keras_align.reports.elements import Element, element, scrolling, table
from keras_align.reports.examining import Examination, versions
from keras_align.reports.heat_map import heat_map

Pair = tuple[Examination, Examination]
_SCORES = {  # title, factor, digits, whether larger is better
    "accuracy": ("accuracy, %", 100.0, 1, True),
    "ece": ("ECE, %", 100.0, 1, False),
    "nll": ("NLL, nats", 1.0, 3, False),
    "brier": ("Brier score", 1.0, 3, False),
}


def layers(titles: list[str], models: Pair) -> Iterator[Element]:
    """What is aligned in each model."""
    for title, model in zip(titles, models, strict=True):
        report = model.layers
        shown = report.aligned or report.rows
        names = short_names(row.path for row in shown).values()
        rows = [
            [
                name,
                row.class_name,
                row.alignment or "none",
                "" if row.alignment_weight is None else f"{row.alignment_weight:g}",
                f"{row.added_weights:,}",
                row.note,
            ]
            for name, row in zip(names, shown, strict=True)
        ]
        caption = (
            f"{title}: {len(report.aligned)} of {len(report.rows)} attention layers "
            f"aligned, {report.added_weights:,} weights added"
        )
        heads = ["layer", "class", "alignment", "weight", "weights added", "note"]
        yield table(caption, heads, rows, "texts")


def heat_maps(titles: list[str], models: Pair) -> Iterator[Element]:
    """The MMD of keys and queries by layer and head, and what matching leaves."""
    largest = max(
        float(np.max(values))
        for model in models
        for values in model.measure.per_layer.values()
    )
    maps = [
        heat_map(title, model.measure, largest)
        for title, model in zip(titles, models, strict=True)
    ]
    yield element("div", *maps, class_="side-by-side")
    rows = [
        [title, f"{model.measure.total:z.2f}", f"{model.matched.total:z.2f}"]
        for title, model in zip(titles, models, strict=True)
    ]
    yield table("Total MMD", ["model", "as it is", "with matched moments"], rows)
    yield element(
        "p",
        "MMD by layer and head, unbiased, of the tokens of all samples. With matched "
        "moments: what remains in the coordinates in which keys and queries have equal "
        "means and covariances, which changes no prediction.",
        class_="muted",
    )


def clouds(titles: list[str], models: Pair) -> Iterator[Element]:
    """Queries and keys of a typical head of the first model, and of the same after."""
    path, head = typical_head(models[0])
    pairs = []
    for model in models:
        there = path if path in model.points else typical_head(model)[0]
        query, key = model.points[there]
        number = min(head, query.shape[1] - 1)
        pairs.append(figures.plane(query[:, number], key[:, number]))
    extent = max(float(np.abs(x).max()) for pair in pairs for x in pair) or 1.0
    drawn = [
        figures.scatter(title, *pair, extent)
        for title, pair in zip(titles, pairs, strict=True)
    ]
    yield element(
        "p",
        f"Layer {path}, head {head}: the head with the median MMD of the first "
        "model. Each picture shows the first two principal components of its own "
        "queries (discs) and keys (rings), both to the same scale.",
    )
    yield element("div", *drawn, class_="side-by-side")


def typical_head(model: Examination) -> tuple[str, int]:
    """Path and number of the head with the median MMD."""
    heads = [
        (float(value), path, number)
        for path, values in model.measure.per_layer.items()
        for number, value in enumerate(values)
    ]
    _, path, number = sorted(heads)[len(heads) // 2]
    return path, number


def comparison(titles: list[str], models: Pair, seed: int) -> Iterator[Element]:
    """Accuracy and calibration on every data set, with intervals of the change."""
    for name, old in models[0].answers.items():
        new = models[1].answers[name]
        limits = paired_intervals(old, new, seed)
        before, after = scores(old), scores(new)
        rows = []
        for score, (title, factor, digits, larger) in _SCORES.items():
            low, high = (factor * limit for limit in limits[score])
            change = factor * (after[score] - before[score])
            text = f"{change:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
            judged = element("td", text, _judged(low, high, larger))
            each = (f"{factor * x[score]:.{digits}f}" for x in (before, after))
            rows.append([title, *each, judged])
        caption = f"{name}: {len(old.labels):,} samples"
        yield table(caption, ["", *titles, "change [95% interval]"], rows)
    yield element(
        "p",
        "The intervals are of a bootstrap over the samples: they say what these two "
        "models would do on other samples of the same kind, not what training with "
        "other seeds would give. ECE: expected calibration error, 10 bins.",
        class_="muted",
    )


def _judged(low, high, larger_is_better):
    if low <= 0.0 <= high:
        return ""
    better = (low > 0.0) == larger_is_better
    name = "better" if better else "worse"
    return element("span", f" {name}", class_=name)


def diagrams(titles: list[str], models: Pair) -> Iterator[Element]:
    """Reliability diagrams."""
    yield element(
        "p",
        "Bars: accuracy of the samples in each bin of confidence. Outlines: their mean "
        "confidence. A bar below its outline is overconfident.",
    )
    for name, old in models[0].answers.items():
        drawn = [
            figures.reliability(f"{name}, {title}", each, scores(each)["ece"])
            for title, each in zip(titles, (old, models[1].answers[name]), strict=True)
        ]
        yield element("div", *drawn, class_="side-by-side")


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
        won = int(np.sum(new.correct[changed] & ~old.correct[changed]))
        lost = int(np.sum(old.correct[changed] & ~new.correct[changed]))
        yield element(
            "p",
            f"{name}: {len(changed):,} of {len(old.labels):,} answers changed, {won} "
            f"from wrong to right, {lost} from right to wrong.",
        )
        sure = (old.confidence + new.confidence)[changed]
        chosen = changed[np.argsort(-sure, kind="stable")][:most]
        items = [
            _change(n, shown[name], titles, (old, new), class_names) for n in chosen
        ]
        if items:
            yield element("ol", *items, class_="changes")


def _change(
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


def summary(titles: list[str], models: Pair) -> Iterator[Element]:
    """What is found, in two sentences or a few."""
    before, after = (model.measure.total for model in models)
    factor = f", a factor of {before / after:.1f}" if min(before, after) > 0.0 else ""
    yield element(
        "p",
        f"Total MMD of keys and queries: {before:.2f} ({titles[0]}) and {after:.2f} "
        f"({titles[1]}){factor}.",
    )
    for name, old in models[0].answers.items():
        values = [scores(old), scores(models[1].answers[name])]
        accuracy, ece = (
            " and ".join(f"{100 * each[score]:.1f}%" for each in values)
            for score in ("accuracy", "ece")
        )
        yield element("p", f"{name}: accuracy {accuracy}; calibration error {ece}.")


def facts(titles: list[str], models: Pair, settings: Mapping) -> Iterator[Element]:
    """Settings that were given, versions, and how the models are compiled."""
    of_models = {
        f"{name}, {title}": value
        for title, model in zip(titles, models, strict=True)
        for name, value in model.facts.items()
    }
    rows = [[*pair] for pair in {**settings, **versions(), **of_models}.items()]
    yield table("Settings and versions", ["name", "value"], rows, "wrapping")


def note(name: str, text: str) -> Iterator[Element]:
    """A text that is shown as it is."""
    yield scrolling(element("pre", text), name)
