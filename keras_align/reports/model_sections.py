"""Sections of a report about what the models are."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_align.diagnostics.layer_names import short_names
from keras_align.reports import figures
from keras_align.reports.answers import scores
from keras_align.reports.elements import Element, element, scrolling, table
from keras_align.reports.examining import TOKENS, Examination, versions
from keras_align.reports.heat_map import heat_map

Pair = tuple[Examination, Examination]


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
    tokens = f"at most {TOKENS:,} queries and keys of a head"
    samples = f"{models[0].measured_on['samples']:,} samples of the first data set"
    yield element(
        "p",
        f"MMD (squared) by layer and head, unbiased, of {samples} at most, drawn at "
        f"random, and {tokens}. Colours are on a logarithmic scale: from the largest "
        "number down to a thousandth of it. With matched moments: what remains in the "
        "coordinates in which keys and queries have equal means and covariances, which "
        "changes no prediction.",
        class_="muted",
    )


def clouds(titles: list[str], models: Pair) -> Iterator[Element]:
    """Queries and keys of a typical head of the first model, and of the same after."""
    number, head = typical_head(models[0])
    pairs, places = [], []
    for model in models:
        path = list(model.points)[min(number, len(model.points) - 1)]
        query, key = model.points[path]
        place = min(head, query.shape[1] - 1)
        pairs.append(figures.plane(query[:, place], key[:, place]))
        places.append(f"head {place} of layer {path}")
    extent = max(float(np.abs(x).max()) for pair in pairs for x in pair) or 1.0
    drawn = [
        figures.scatter(f"{title}: {place}", *pair, extent)
        for title, place, pair in zip(titles, places, pairs, strict=True)
    ]
    yield element(
        "p",
        "The head with the median MMD of the first model, and the head at the same "
        "place of the second. Each picture shows the first two principal components of "
        "its own queries (discs) and keys (rings), both to the same scale.",
    )
    yield element("div", *drawn, class_="side-by-side")


def typical_head(model: Examination) -> tuple[int, int]:
    """Numbers of the layer and the head with the median MMD."""
    heads = [
        (float(value), layer, head)
        for layer, values in enumerate(model.measure.per_layer.values())
        for head, value in enumerate(values)
    ]
    return sorted(heads)[len(heads) // 2][1:]


def summary(titles: list[str], models: Pair) -> Iterator[Element]:
    """What is found, in two sentences or a few."""
    before, after = (model.measure.total for model in models)
    factor = ""
    if min(before, after) > 0.0:
        ratio = max(before, after) / min(before, after)
        factor = f", {ratio:.1f} times {'less' if after < before else 'as much'}"
    yield element(
        "p",
        f"Total MMD of keys and queries: {before:z.2f} ({titles[0]}) and {after:z.2f} "
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
    for caption, values in (
        ("Settings", settings),
        ("Versions and models", {**versions(), **of_models}),
    ):
        if values:
            rows = [[*pair] for pair in values.items()]
            yield table(caption, ["name", "value"], rows, "wrapping")


def note(name: str, text: str) -> Iterator[Element]:
    """A text that is shown as it is."""
    yield scrolling(element("pre", text), name)
