"""Reliability diagrams: bars, axes, legends and what is refused."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from keras_align import visualization

pytestmark = pytest.mark.slow_on("jax", "torch")


def predictions(classes=2, count=400, seed=5):
    """Classes and probabilities of an overconfident classifier."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, classes))
    labels = (logits / 2 + rng.gumbel(size=(count, classes))).argmax(-1)
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return labels, scores.astype("float32")


def measured(labels, probabilities, num_bins, weights=None):
    """Accuracy, confidence and share of the bins with samples, by bin."""
    weights = np.ones(len(labels)) if weights is None else weights
    confidence = probabilities.max(-1)
    hit = probabilities.argmax(-1) == labels
    bins = np.ceil(confidence * num_bins).astype(int) - 1

    def mean(values, chosen):
        return np.average(values[chosen], weights=weights[chosen])

    return {
        int(m): (
            mean(hit, bins == m),
            mean(confidence, bins == m),
            weights[bins == m].sum() / weights.sum(),
        )
        for m in np.unique(bins)
    }


@pytest.mark.parametrize("classes, num_bins", [(2, 10), (2, 15), (5, 10), (30, 7)])
def test_solid_bars_are_the_accuracy_and_outlines_the_confidence(classes, num_bins):
    labels, probabilities = predictions(classes)
    weights = np.random.default_rng(0).integers(1, 4, len(labels))
    figure = visualization.plot_reliability(
        {"soft": (labels, probabilities, weights)}, num_bins=num_bins
    )
    diagram, shares = figure.axes
    expected = measured(labels, probabilities, num_bins, weights)
    accuracy, confidence, share = np.transpose(list(expected.values()))
    bars, outlines = diagram.containers
    for bar, outline, m in zip(bars, outlines, expected, strict=True):
        assert bar.get_alpha() is None and bar.get_facecolor()[3] == 1.0
        assert outline.get_facecolor()[3] == 0.0 and outline.get_edgecolor()[3] == 1.0
        assert outline.get_zorder() > bar.get_zorder()
        left, right = bar.get_x(), bar.get_x() + bar.get_width()
        assert m / num_bins < left < right < (m + 1) / num_bins
        assert (outline.get_x(), outline.get_width()) == (left, bar.get_width())
    for drawn, heights in ((bars, accuracy), (outlines, confidence)):
        np.testing.assert_allclose([bar.get_y() for bar in drawn], 0.0)
        np.testing.assert_allclose(
            [bar.get_height() for bar in drawn], heights, rtol=1e-5
        )
    heights = [bar.get_height() for bar in shares.containers[0]]
    np.testing.assert_allclose([h for h in heights if h > 0], share, rtol=1e-5)
    error = np.sum(share * np.abs(accuracy - confidence))
    assert diagram.get_title() == f"soft\nECE {100 * error:.1f}%"


@pytest.mark.parametrize(
    "classes, num_bins, start",
    [(2, 10, 0.5), (2, 4, 0.5), (2, 15, 7 / 15), (4, 8, 0.25)],
)
def test_the_axis_begins_at_the_lowest_confidence(classes, num_bins, start):
    figure = visualization.plot_reliability({"a": predictions(classes)}, num_bins)
    for axes in figure.axes:
        assert axes.get_xlim() == pytest.approx((start, 1.0))
        lefts = [bar.get_x() for bars in axes.containers for bar in bars]
        assert min(lefts) >= start


def test_a_confidence_at_the_lowest_border_is_drawn():
    figure = visualization.plot_reliability({"a": ([0, 1], np.full((2, 2), 0.5))})
    assert figure.axes[0].get_xlim() == pytest.approx((0.4, 1.0))
    (bar,) = figure.axes[0].containers[0]
    assert bar.get_height() == 0.5


@pytest.mark.parametrize("count", [1, 2, 6])
def test_legend_and_titles_lie_inside_the_figure(count):
    name = "encoder/a_long_$name$_of_a_layer/multi_head_attention" * (
        2 if count < 3 else 1
    )
    entries = {f"{name} {n}": predictions(seed=n) for n in range(count)}
    figure = visualization.plot_reliability(entries)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "accuracy = confidence",
        "accuracy",
        "mean confidence",
    ]
    assert len(figure.axes) == 2 * count
    titles = [axes.title for axes in figure.axes[::2]]
    assert [title.get_text().split("\n")[0] for title in titles] == list(entries)
    assert not any(title.get_parse_math() for title in titles)
    for drawn in (legend, *titles):
        box = drawn.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


def test_probabilities_may_come_first():
    """Two arrays that `ExpectedCalibrationError` would refuse in this order."""
    labels, probabilities = predictions(3)
    titles = {
        visualization.plot_reliability({"a": pair}).axes[0].get_title()
        for pair in ((labels, probabilities), (probabilities, labels))
    }
    assert len(titles) == 1


def test_logits_and_ignored_classes():
    labels, probabilities = predictions(3)
    labels[:50] = -1
    logits = np.log(probabilities)
    options = {"ignore_class": -1}
    expected = visualization.plot_reliability({"a": (labels, probabilities)}, **options)
    received = visualization.plot_reliability(
        {"a": (labels, logits)}, from_logits=True, **options
    )
    kept = visualization.plot_reliability({"a": (labels[50:], probabilities[50:])})
    titles = {figure.axes[0].get_title() for figure in (expected, received, kept)}
    assert len(titles) == 1


@pytest.mark.parametrize(
    "entries, message",
    [
        ({}, "at least one entry"),
        ({"a": np.ones((3, 2))}, "must hold tuples"),
        (
            {"a": ([0, 1], np.ones((3, 2)))},
            r"In predictions\['a'\]: `y_true` must hold",
        ),
        ({"a": ([0], [[4.0, -3.0]])}, r"In predictions\['a'\]: .*`from_logits=True`"),
        ({"a": ([0], [[np.nan, 0.5]])}, "`y_pred` must hold probabilities"),
        ({"a": ([-1], [[0.5, 0.5]])}, "`y_true` must hold classes"),
        ({"a": (np.zeros(0), np.zeros((0, 2)))}, r"\['a'\] without one"),
        ({"a": ([0], [[0.5, 0.5]], [0.0])}, "samples that count"),
    ],
)
def test_what_is_refused(entries, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_reliability(entries)
