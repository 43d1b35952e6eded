"""What the pictures share: colours, panels, optional imports."""

import importlib

# From the palette of Okabe and Ito, which the colour-blind can tell apart.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"


def count_columns(count):
    """Returns how many panels stand in a row: at most four, rows of even length."""
    rows = -(-count // 4)
    return -(-count // rows)


def make_figure(count, function, width, height, ratios=(1,)):
    """Returns a figure and its `count` panels, each a list of axes.

    The axes of a panel stand below each other, with heights in these ratios.
    """
    figure_module = require("matplotlib.figure", function)
    columns = count_columns(count)
    rows = -(-count // columns)
    figure = figure_module.Figure(
        figsize=(width * columns, height * rows), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # inches
    grid = figure.add_gridspec(
        rows * len(ratios), columns, height_ratios=list(ratios) * rows
    )
    panels = []
    for n in range(count):
        row, column = divmod(n, columns)
        lines = range(row * len(ratios), (row + 1) * len(ratios))
        panels.append([figure.add_subplot(grid[line, column]) for line in lines])
    return figure, panels


def check_panels(panels, argument):
    """Checks that there is a dictionary with something to draw."""
    if not isinstance(panels, dict) or not panels:
        raise ValueError(
            f"`{argument}` must be a dictionary from the titles of the panels to "
            f"what they show, with at least one entry. Received: {argument}={panels!r}"
        )
    return panels


def require(module, function):
    """Imports an optional dependency, or says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`{function}` needs matplotlib and scikit-learn. Install them with "
            "`pip install matplotlib scikit-learn`."
        ) from error
