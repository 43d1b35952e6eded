"""Reliability diagrams."""

from typing import Any

import numpy as np
from keras import ops

from keras_align.metrics import ExpectedCalibrationError
from keras_align.metrics.predictions import number_of_classes
from keras_align.visualization.panels import (
    BLUE,
    GREY,
    VERMILLION,
    add_legend,
    check_panels,
    count_columns,
    make_figure,
)

# Width of a bar, as a share of its bin.
WIDTH = 0.86


def plot_reliability(
    predictions: dict,
    num_bins: int = 10,
    from_logits: bool = False,
    ignore_class: int | None = None,
) -> Any:
    """Draws reliability diagrams: how often a model is right when it is sure.

    In each bin of confidence, with the bins of `ExpectedCalibrationError`, the solid
    bar is the accuracy of the predictions and the outline around it their mean
    confidence; the gaps between them, weighted with the shares drawn below, make up
    the expected calibration error (ECE) in the title. On the dashed diagonal
    accuracy and confidence agree. The axis of confidence begins at the lowest that a
    predicted class can have, one by the number of classes: 0.5 for two.

    References:
        - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), figure 1

    Args:
        predictions: Dictionary from the title of a panel to a tuple
            `(y_true, y_pred)` or `(y_true, y_pred, sample_weight)`, the classes and
            the probabilities, as `ExpectedCalibrationError` takes them. Probabilities
            `(..., C)` may also come first, before integer classes `(...)`.
        num_bins: Integer, at least 1. Number of bins between 0 and 1. Defaults to
            `10`.
        from_logits: Bool. Whether `y_pred` holds logits. Defaults to `False`.
        ignore_class: Optional integer. Samples whose true class it is do not count.
            Defaults to `None`.

    Returns:
        A `matplotlib.figure.Figure`. For each entry it has two axes, the diagram
        and, below, the shares of the bins.

    Raises:
        ValueError: If an entry is no such tuple, has no sample that counts, or holds
            what `ExpectedCalibrationError` refuses, such as logits.

    Example:

    >>> y_pred = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    >>> figure = keras_align.visualization.plot_reliability(
    ...     {"soft": ([0, 1, 0], y_pred)}
    ... )
    """
    measured = {}
    for title, entry in check_panels(predictions, "predictions").items():
        metric = ExpectedCalibrationError(
            num_bins, from_logits, ignore_class=ignore_class
        )
        measured[title] = _measure(metric, title, entry)
    titles = [
        f"{title}\nECE {100 * bins['ece']:.1f}%" for title, bins in measured.items()
    ]
    figure, panels = make_figure(
        titles, "plot_reliability", width=3.6, height=4.6, left=0.7, ratios=(4, 1)
    )
    for (diagram, shares), bins in zip(panels, measured.values(), strict=True):
        _draw_diagram(diagram, bins)
        _draw_shares(shares, bins)
        for axes in (diagram, shares):
            axes.set(xlim=(bins["borders"][0], 1), ylim=(0, 1))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", color="#DDDDDD", lw=0.6, zorder=0)
    for diagram, shares in panels[:: count_columns(len(measured))]:
        diagram.set_ylabel("accuracy", color=GREY)
        shares.set_ylabel("share", color=GREY)
    add_legend(figure, panels[0][0])
    return figure


def _measure(metric, title, entry):
    """Returns what is drawn of one entry, bins without a possible sample left out."""
    if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
        raise ValueError(
            "`predictions` must hold tuples (y_true, y_pred) or (y_true, y_pred, "
            f"sample_weight). Received: predictions[{title!r}]={type(entry).__name__}"
        )
    y_true, y_pred, *sample_weight = entry
    if np.ndim(y_true) == np.ndim(y_pred) + 1 and np.shape(y_true)[-1] != 1:
        y_true, y_pred = y_pred, y_true
    try:
        metric.update_state(y_true, y_pred, *sample_weight)
    except ValueError as error:
        raise ValueError(f"In predictions[{title!r}]: {error}") from error
    bins = {
        name: ops.convert_to_numpy(values)
        for name, values in metric.reliability().items()
    }
    if not bins["share"].any():
        raise ValueError(
            "`predictions` must hold samples that count. Received: "
            f"predictions[{title!r}] without one"
        )
    classes = number_of_classes(np.shape(y_pred))
    # A confidence of just 1 / classes belongs to the bin below that border.
    first = min(metric.num_bins // classes, int(np.argmax(bins["share"] > 0)))
    bins = {name: values[first:] for name, values in bins.items()}
    borders = np.arange(first, metric.num_bins + 1) / metric.num_bins
    return bins | {"ece": float(metric.result()), "borders": borders}


def _draw_diagram(axes, bins):
    """Draws accuracy, and around it the confidence, of the bins with samples."""
    filled = bins["share"] > 0
    widths = np.diff(bins["borders"])[filled]
    centers = bins["borders"][:-1][filled] + widths / 2
    axes.bar(
        centers,
        bins["accuracy"][filled],
        WIDTH * widths,
        color=BLUE,
        label="accuracy",
        zorder=2,
    )
    axes.bar(
        centers,
        bins["confidence"][filled],
        WIDTH * widths,
        facecolor="none",
        edgecolor=VERMILLION,
        lw=1.6,
        label="mean confidence",
        zorder=3,
    )
    line = {"color": GREY, "lw": 1, "zorder": 4, "label": "accuracy = confidence"}
    axes.plot([0, 1], [0, 1], "--", **line)
    axes.tick_params(labelbottom=False)


def _draw_shares(axes, bins):
    """Draws how many of the samples are in each bin."""
    widths = np.diff(bins["borders"])
    centers = bins["borders"][:-1] + widths / 2
    axes.bar(centers, bins["share"], WIDTH * widths, color=GREY, zorder=2)
    axes.set_yticks([0, 1])
    axes.set_xlabel("confidence", color=GREY)
