"""Pictures of a report, as SVG in the colours of the page."""

import numpy as np

from keras_align.reports.answers import BINS, Answers, in_bins
from keras_align.reports.elements import Element, element

SIZE, MARGIN = 300.0, 34.0


def plane(query: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys in the plane of their first two principal components.

    Args:
        query: float array `(T, H)`.
        key: float array `(S, H)`.

    Returns:
        Arrays `(T, 2)` and `(S, 2)`; lengths are those of the head's space.
    """
    points = np.concatenate([query, key]).astype("float64")
    points -= points.mean(0)
    _, _, axes = np.linalg.svd(points, full_matrices=False)
    axes = axes[:2]
    if len(axes) < 2 or points.shape[1] < 2:  # one dimension, or one token
        axes = np.concatenate([axes, np.zeros((2 - len(axes), points.shape[1]))])
    flat = points @ axes.T
    return flat[: len(query)], flat[len(query) :]


def scatter(title: str, query: np.ndarray, key: np.ndarray, extent: float) -> Element:
    """Queries as discs and keys as rings.

    Args:
        title: string.
        query: float array `(T, 2)`.
        key: float array `(S, 2)`.
        extent: float > 0, half the side of the square that is shown.
    """
    discs = [_mark("query", point, extent) for point in query]
    rings = [_mark("key", point, extent) for point in key]
    frame = element("rect", x=1, y=1, width=SIZE - 2, height=SIZE - 2, class_="axis")
    label = f"{title}: {len(query)} queries and {len(key)} keys in the plane"
    return _figure(title, label, [frame, *discs, *rings], SIZE)


def reliability(title: str, answers: Answers, ece: float) -> Element:
    """Accuracy of every bin of confidence as bars, the mean confidence as outlines.

    Args:
        title: string.
        answers: `Answers`.
        ece: float, expected calibration error.
    """
    bars = []
    for low, high, _, *values in in_bins(answers):
        x, width = MARGIN + SIZE * low, SIZE * (high - low)
        for value, name in zip(values, ("accuracy", "confidence"), strict=True):
            bars.append(_bar(name, x + 0.07 * width, 0.86 * width, value))
    ends = {"x1": MARGIN, "y1": SIZE + 8, "x2": MARGIN + SIZE, "y2": 8}
    bars.append(element("line", class_="diagonal", **ends))
    percent = f"{title}: ECE {100 * ece:.1f}%"
    label = f"{percent}, accuracy and mean confidence in {BINS} bins of confidence"
    return _figure(percent, label, [*_axes(), *bars], SIZE + MARGIN + 12)


def _figure(title, label, shapes, side):
    picture = element(
        "svg", *shapes, viewBox=f"0 0 {side:g} {side:g}", role="img", aria_label=label
    )
    return element("figure", element("figcaption", title), picture)


def _mark(name, point, extent):
    x, y = (0.5 + 0.48 * np.clip(point / extent, -1.0, 1.0)) * SIZE
    return element("circle", cx=f"{x:.1f}", cy=f"{SIZE - y:.1f}", r=2.6, class_=name)


def _bar(name, x, width, height):
    top = 8 + SIZE * (1.0 - height)
    place = {"x": f"{x:.1f}", "y": f"{top:.1f}", "width": f"{width:.1f}"}
    return element("rect", height=f"{SIZE * height:.1f}", class_=name, **place)


def _axes():
    yield element("rect", x=MARGIN, y=8, width=SIZE, height=SIZE, class_="axis")
    for value in (0.0, 0.5, 1.0):
        x, y = MARGIN + SIZE * value, 12 + SIZE * (1.0 - value)
        anchor = "end" if value == 1.0 else "middle"
        yield element("text", f"{value:g}", x=x, y=SIZE + 22, text_anchor=anchor)
        yield element("text", f"{value:g}", x=MARGIN - 6, y=y, text_anchor="end")
    middle = MARGIN + SIZE / 2
    yield element("text", "confidence", x=middle, y=SIZE + 40, text_anchor="middle")
