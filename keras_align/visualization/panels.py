"""What the pictures share: colours, panels, texts, optional imports."""

import importlib
from typing import Any

# From the palette of Okabe and Ito, which the colour-blind can tell apart.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"
PALETTE = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Text properties with which matplotlib draws a text as it is, also `$x^2$` and `a_b`.
AS_IT_IS = {"parse_math": False, "usetex": False}
TITLE_SIZES = (12.0, 7.0)  # points; small enough for the panel, if possible
WIDEST = 10.0  # inches, of a figure that is to be read in a column of text


def count_columns(count: int, most: int = 4) -> int:
    """Returns how many panels stand in a row: at most `most`, rows of even length."""
    rows = -(-count // max(most, 1))
    return -(-count // rows)


def make_figure(
    titles: list,
    function: str,
    width: float,
    height: float,
    left: float = 0.2,
    ratios: tuple = (1,),
    most: int = 4,
    margin: float = 0.0,
) -> tuple[Any, list]:
    """Returns a figure and a panel for each title, which is a list of axes.

    The axes of a panel stand below each other, with heights in these ratios. Panels
    are as wide as `width` inches, `left` of them beside the axes, or wider where a
    title needs it; `most` of them stand in a row, and `margin` inches beside them.
    """
    figure_module = require("matplotlib.figure", function)
    columns = count_columns(len(titles), most)
    rows = -(-len(titles) // columns)
    figure = figure_module.Figure(layout="constrained")
    size, widest = _fit_titles(figure, titles, width - left)
    width = max(width, widest + left) * columns + margin
    figure.set_size_inches(width, height * rows)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # inches
    grid = figure.add_gridspec(
        rows * len(ratios), columns, height_ratios=list(ratios) * rows
    )
    panels = []
    for n, title in enumerate(titles):
        row, column = divmod(n, columns)
        lines = range(row * len(ratios), (row + 1) * len(ratios))
        panels.append([figure.add_subplot(grid[line, column]) for line in lines])
        panels[-1][0].set_title(str(title), fontsize=size, **AS_IT_IS)
    return figure, panels


def _fit_titles(figure, titles, width):
    """Returns the font size of titles and the width of the longest, in inches."""
    largest, smallest = TITLE_SIZES
    widest = max(text_size(figure, title, largest)[0] for title in titles) + 0.2
    size = min(max(largest * width / widest, smallest), largest)
    return size, widest * size / largest


def text_size(figure: Any, text: Any, fontsize: float) -> tuple[float, float]:
    """Returns width and height of a drawn text in inches."""
    try:
        str(text).encode()
    except UnicodeEncodeError as error:  # a lone half of a surrogate pair
        raise ValueError(f"Texts must be valid Unicode. Received: {text!a}") from error
    drawn = figure.text(0, 0, str(text), fontsize=fontsize, **AS_IT_IS)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width / figure.dpi, box.height / figure.dpi


def add_legend(figure: Any, axes: Any) -> None:
    """Explains what `axes` show below the panels, in as few lines as fit."""
    handles, labels = axes.get_legend_handles_labels()
    explain(figure, dict(zip(labels, handles, strict=True)))


def explain(figure: Any, handles: dict) -> None:
    """Explains below the panels what is drawn, from labels to what is drawn so."""
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles.values(),
            handles,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
        )
        for text in legend.get_texts():
            text.set(**AS_IT_IS)
        if columns == 1 or legend.get_window_extent().width < figure.bbox.width:
            return
        legend.remove()


def ticks_of(norm: Any, function: str) -> list:
    """Returns a few round numbers within a colour scale, for its bar."""
    locator = require("matplotlib.ticker", function).MaxNLocator(4)
    ticks = locator.tick_values(norm.vmin, norm.vmax)
    return [tick for tick in ticks if norm.vmin <= tick <= norm.vmax]


def check_panels(panels: Any, argument: str) -> dict:
    """Checks that there is a dictionary with something to draw."""
    if not isinstance(panels, dict) or not panels:
        raise ValueError(
            f"`{argument}` must be a dictionary from the titles of the panels to "
            f"what they show, with at least one entry. Received: {argument}={panels!r}"
        )
    return panels


def require(
    module: str,
    function: str,
    packages: tuple[str, ...] = ("matplotlib", "scikit-learn"),
) -> Any:
    """Imports an optional dependency, or says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`{function}` needs {' and '.join(packages)}. Install with "
            f"`pip install {' '.join(packages)}`."
        ) from error
