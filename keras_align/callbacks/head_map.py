"""The discrepancies of all layers and heads as one picture."""

import importlib.util
import io
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Picture:
    """An image.

    Attributes:
        png: bytes of a PNG file.
        width: int, pixels.
        height: int, pixels.
    """

    png: bytes
    width: int
    height: int


def head_map(values: dict[str, np.ndarray], title: str) -> Picture | None:
    """Draws a row for each layer, a column for each head; `None` without matplotlib.

    Args:
        values: dict from name to `(N,)`; N may differ.
        title: string.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grid = np.full((len(values), max(map(len, values.values()))), np.nan)
    for row, of_layer in zip(grid, values.values(), strict=True):
        row[: len(of_layer)] = of_layer
    rows, columns = grid.shape
    figure = Figure((2.5 + 0.35 * columns, 1.2 + 0.35 * rows), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(grid), aspect="auto")
    figure.colorbar(image)
    axes.set_yticks(range(rows), list(values), parse_math=False)
    axes.set_xticks(range(columns))
    axes.set(xlabel="head", title=title)
    canvas, png = FigureCanvasAgg(figure), io.BytesIO()
    figure.savefig(png, format="png")
    return Picture(png.getvalue(), *canvas.get_width_height())
