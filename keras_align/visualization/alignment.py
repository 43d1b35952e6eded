"""The discrepancy of keys and queries of every layer and head as a heat map."""

from typing import Any

import numpy as np

from keras_align.diagnostics.layer_names import short_names
from keras_align.validation import checks
from keras_align.visualization.numbers_in_cells import (
    NUMBER_SIZE,
    short_number,
    write_numbers,
)
from keras_align.visualization.panels import (
    AS_IT_IS,
    GREY,
    WIDEST,
    check_panels,
    make_figure,
    require,
    text_size,
)

NAME_SIZE = 9.0  # points
ROW = 0.3  # inches
CELL, ALL_CELLS = 0.42, 6.6  # inches: a cell at most, and a row of cells
BAR = 1.1  # inches, colour bar with its label
DECADES = 4  # of a logarithmic scale
NOT_POSITIVE = "#D9D9D9"


def plot_alignment(measures: Any, scale: str = "linear", numbers: bool = True) -> Any:
    """Draws the MMD between queries and keys of every layer and head as a heat map.

    Rows are layers, named by the endings of their paths that tell them apart, and
    columns are heads. All panels share one colour scale, so they compare; the total,
    the sum over layers and heads, is in the title. A layer with fewer heads than
    others has blank cells. The unbiased estimate is below zero where queries and keys
    are alike: a linear scale begins at the lowest number, a logarithmic one shows
    what is not positive in grey.

    Args:
        measures: An `AlignmentMeasure`, as `measure_alignment` returns it, or a
            dictionary from the title of a panel to one, as before and after training.
        scale: String, `"linear"` or `"log"`, of the colours. `"log"` is for panels
            that differ by orders of magnitude; it shows four of them, and what is
            below has the colour of its end. Defaults to `"linear"`.
        numbers: Bool, whether the cells hold their numbers, if these fit. Defaults
            to `True`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per measure, and a colour bar.

    Raises:
        ValueError: If an argument is not as above, a measure is of no layer, or
            `scale` is `"log"` and no number is positive.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> model = keras.Model(inputs, x)
    >>> measure = keras_align.measure_alignment(model, np.random.randn(4, 5, 16))
    >>> figure = keras_align.visualization.plot_alignment({"before": measure})
    """
    checks.choice("scale", scale, ("linear", "log"))
    layers = _read_measures(measures)
    matrices = [_matrix(per_layer) for per_layer in layers.values()]
    norm, extend = _norm(matrices, scale)
    titles = _titles(layers)
    names = [list(short_names(per_layer).values()) for per_layer in layers.values()]
    cell, left = _sizes(matrices, names)
    width = cell * max(8, *(matrix.shape[1] for matrix in matrices)) + left
    height = ROW * max(3, *(len(matrix) for matrix in matrices)) + 0.85
    figure, panels = make_figure(
        titles,
        "plot_alignment",
        width,
        height,
        left,
        most=int((WIDEST - BAR) / width),
        margin=BAR,
    )
    numbers = numbers and _fit(figure, matrices, cell)
    for (axes,), matrix, rows in zip(panels, matrices, names, strict=True):
        image = _draw(axes, matrix, rows, norm)
        if numbers:
            write_numbers(axes, matrix, image.to_rgba(matrix))
    _add_bar(figure, image, [axes for (axes,) in panels], extend)
    return figure


def _read_measures(measures):
    """Returns dictionaries from layer paths to arrays, by the titles of the panels."""
    alone = hasattr(measures, "per_layer")
    panels = {"": measures} if alone else check_panels(measures, "measures")
    for title, measure in panels.items():
        per_layer = getattr(measure, "per_layer", None)
        if not isinstance(per_layer, dict) or not per_layer:
            raise ValueError(
                "Argument `measures` must be an `AlignmentMeasure` of at least one "
                "layer, or a dictionary from titles to them. Received: "
                f"measures[{title!r}] of type {type(measure).__name__}"
            )
    return {title: measure.per_layer for title, measure in panels.items()}


def _titles(layers):
    totals = [sum(map(np.sum, per_layer.values())) for per_layer in layers.values()]
    texts = [f"total MMD {short_number(float(total))}" for total in totals]
    return [
        f"{title}\n{text}" if title != "" else text
        for title, text in zip(layers, texts, strict=True)
    ]


def _matrix(per_layer):
    """Returns a masked array of layers and heads; what does not exist is masked."""
    heads = max(map(np.size, per_layer.values()))
    matrix = np.ma.masked_all((len(per_layer), heads))
    for row, values in enumerate(per_layer.values()):
        matrix[row, : np.size(values)] = np.ravel(values)
    return matrix


def _norm(matrices, scale):
    """Returns the scale of all panels, and at which of its ends more lies."""
    colors = require("matplotlib.colors", "plot_alignment")
    values = np.concatenate([matrix.compressed() for matrix in matrices])
    values = values[np.isfinite(values)]
    if scale == "linear":
        largest = values.max(initial=0.0)
        lowest = values.min(initial=0.0)
        return colors.Normalize(lowest, largest if largest > lowest else 1.0), "neither"
    values = values[values > 0]
    if not values.size:
        raise ValueError(
            "Argument `scale` may be 'log' only if a number is positive. "
            "Received: scale='log' and no positive number in measures"
        )
    lowest = max(values.min(), values.max() / 10**DECADES)
    largest = values.max() if values.max() > lowest else 10 * lowest
    extend = "min" if values.min() < lowest else "neither"
    return colors.LogNorm(lowest, largest), extend


def _draw(axes, matrix, names, norm):
    """Draws one panel; returns what maps numbers to its colours."""
    colormaps = require("matplotlib", "plot_alignment").colormaps
    rows, heads = matrix.shape
    colours = colormaps["YlGnBu"].with_extremes(bad=NOT_POSITIVE)
    image = axes.pcolormesh(
        np.arange(heads + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        matrix,
        cmap=colours,
        norm=norm,
        edgecolors="white",
        lw=1.0 if heads <= 24 else 0.3,
    )
    _leave_blank(axes, matrix)
    axes.invert_yaxis()
    step = -(-heads // 24)
    axes.set_xticks(range(0, heads, step))
    axes.set_yticks(range(rows), names, **AS_IT_IS)
    axes.tick_params(length=0, labelsize=NAME_SIZE)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("head", color=GREY)
    return image


def _leave_blank(axes, matrix):
    """Covers the cells of heads that do not exist, which are grey otherwise."""
    patches = require("matplotlib.patches", "plot_alignment")
    blank = np.ma.getmaskarray(matrix)
    for row, column in zip(*np.nonzero(blank), strict=True):
        corner = column - 0.5, row - 0.5
        axes.add_patch(patches.Rectangle(corner, 1, 1, color="white", lw=1.2))


def _add_bar(figure, image, panels, extend):
    bar = figure.colorbar(image, ax=panels, extend=extend, shrink=0.9, aspect=25)
    bar.set_label("MMD", color=GREY)
    bar.ax.tick_params(labelsize=NAME_SIZE)
    bar.outline.set_visible(False)


def _sizes(matrices, names):
    """Returns the width of a cell, and of the names beside the cells, in inches."""
    figure = require("matplotlib.figure", "plot_alignment").Figure()
    heads = max(matrix.shape[1] for matrix in matrices)
    cell = max(min(CELL, ALL_CELLS / heads), 0.05)
    widths = [text_size(figure, name, NAME_SIZE)[0] for rows in names for name in rows]
    return cell, max(widths) + 0.2


def _fit(figure, matrices, cell):
    """Whether all numbers fit into cells of this width."""
    texts = {
        short_number(float(value))
        for matrix in matrices
        for value in matrix.compressed()
    }
    longest = sorted(texts, key=len)[-8:]
    widths = [text_size(figure, text, NUMBER_SIZE)[0] for text in longest]
    return max(widths) + 0.05 < cell
