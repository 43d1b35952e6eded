"""Numbers short enough for a cell of a heat map."""

from typing import Any

import numpy as np

NUMBER_SIZE = 7.0  # points


def short_number(value: float) -> str:
    """Returns a number with three digits at most, where so few are enough."""
    size = abs(value)
    if not np.isfinite(value) or size == 0:
        return f"{value:g}"
    if size < 0.00095:
        return f"{value:.0e}".replace("e-0", "e-")
    decimals = next(
        n for n, above in ((0, 99.5), (1, 9.95), (2, 0.0995), (3, 0)) if size >= above
    )
    return f"{value:.{decimals}f}"


def write_numbers(axes: Any, values: np.ndarray, colours: np.ndarray) -> None:
    """Writes values into the cells of `axes`, in black or white as the colours ask.

    Args:
        axes: the axes, with the cell of row 0 and column 0 around (0, 0).
        values: float array `(rows, columns)`; masked cells stay empty.
        colours: float array `(rows, columns, 4)`, red, green, blue and opacity.
    """
    brightness = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
    shown = ~np.ma.getmaskarray(values)
    for row, column in zip(*np.nonzero(shown), strict=True):
        axes.text(
            column,
            row,
            short_number(float(values[row, column])),
            ha="center",
            va="center",
            fontsize=NUMBER_SIZE,
            color="black" if brightness[row, column] > 0.5 else "white",
        )
