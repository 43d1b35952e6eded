"""Reliability diagrams."""

import numpy as np
from keras import ops

from keras_align.metrics import ExpectedCalibrationError
from keras_align.visualization.panels import (
    BLUE,
    GREY,
    VERMILLION,
    check_panels,
    count_columns,
    make_figure,
)


def plot_reliability(predictions, num_bins=10):
    """Draws reliability diagrams: how often a model is right when it is sure.

    The bars are the accuracy of the predictions in each bin of confidence, with
    the bins of `keras_align.ExpectedCalibrationError`. On the dashed diagonal
    accuracy and confidence agree; the hatched gap from the bar to the mean
    confidence, weighted with the shares drawn below, makes up the expected
    calibration error (ECE) in the title.

    Args:
        predictions: Dictionary from the title of a panel to a pair
            `(y_true, y_pred)`, the classes and the probabilities, as
            `ExpectedCalibrationError` takes them.
        num_bins: Integer, at least 1. Number of bins. Defaults to `10`.

    Returns:
        A `matplotlib.figure.Figure`. For each entry it has two axes, the diagram
        and, below, the shares of the bins.

    Example:

    >>> y_pred = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    >>> figure = keras_align.visualization.plot_reliability(
    ...     {"soft": ([0, 1, 0], y_pred)}
    ... )
    """
    predictions = check_panels(predictions, "predictions")
    measured = {}
    for title, pair in predictions.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                "`predictions` must hold pairs (y_true, y_pred). "
                f"Received: predictions[{title!r}]={type(pair).__name__}"
            )
        metric = ExpectedCalibrationError(num_bins)
        metric.update_state(*pair)
        bins = metric.reliability().items()
        bins = {name: ops.convert_to_numpy(values) for name, values in bins}
        measured[title] = bins | {"ece": float(metric.result())}
    figure, panels = make_figure(
        len(measured), "plot_reliability", width=3.6, height=4.6, ratios=(4, 1)
    )
    for (diagram, shares), (title, bins) in zip(panels, measured.items(), strict=True):
        _draw_reliability(diagram, shares, bins)
        diagram.set_title(f"{title}\nECE {100 * bins['ece']:.1f}%")
    for diagram, shares in panels[:: count_columns(len(measured))]:
        diagram.set_ylabel("accuracy", color=GREY)
        shares.set_ylabel("share", color=GREY)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_reliability(diagram, shares, bins):
    """Draws one reliability diagram and the shares of its bins."""
    num_bins = len(bins["share"])
    width = 1.0 / num_bins
    centers = (np.arange(num_bins) + 0.5) * width
    filled = bins["share"] > 0
    accuracy, confidence = bins["accuracy"][filled], bins["confidence"][filled]
    style = {"width": 0.94 * width, "zorder": 2}
    diagram.bar(centers[filled], accuracy, color=BLUE, label="accuracy", **style)
    diagram.bar(
        centers[filled],
        confidence - accuracy,
        bottom=accuracy,
        color=(1.0, 1.0, 1.0, 0.75),
        edgecolor=VERMILLION,
        hatch="////",
        lw=0.8,
        label="gap to the confidence",
        **style | {"zorder": 3},
    )
    diagram.plot([0, 1], [0, 1], "--", color=GREY, lw=1, zorder=4, label="calibrated")
    diagram.set(xlim=(0, 1), ylim=(0, 1), xticks=np.linspace(0, 1, 6))
    diagram.tick_params(labelbottom=False)
    shares.bar(centers, bins["share"], color=GREY, **style)
    shares.set(xlim=(0, 1), ylim=(0, 1), yticks=[0, 1])
    shares.set_xticks(np.linspace(0, 1, 6))
    shares.set_xlabel("confidence", color=GREY)
    for axes in (diagram, shares):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#DDDDDD", lw=0.6, zorder=0)
