"""The MMD of every layer and head as a table with colours."""

import numpy as np

from keras_align.diagnostics.layer_names import short_names
from keras_align.diagnostics.measuring import AlignmentMeasure
from keras_align.reports.elements import Element, element, table

_DECADES = 3.0  # of MMD from the lightest to the darkest colour


def heat_map(title: str, measure: AlignmentMeasure, largest: float) -> Element:
    """Returns a table of layers and heads.

    Args:
        title: string, of the model.
        measure: `AlignmentMeasure`.
        largest: float, the MMD of the darkest colour; the scale is logarithmic.
    """
    names = short_names(measure.per_layer).values()
    heads = max(len(values) for values in measure.per_layer.values())
    rows = [
        [name, *(_cell(value, largest) for value in values)]
        + [""] * (heads - len(values))
        for name, values in zip(names, measure.per_layer.values(), strict=True)
    ]
    caption = f"{title}: total {measure.total:.2f}"
    titles = ["layer / head", *map(str, range(heads))]
    label = f"MMD by layer and head, {caption}"
    return table(caption, titles, rows, "heat", label)


def _cell(value, largest):
    return element(
        "td",
        _number(value),
        style=f"--share: {_share(value, largest):.0f}%",
    )


def _number(value):
    digits = 3 if abs(value) < 0.0995 else 2 if abs(value) < 9.995 else 1
    return f"{value:z.{digits}f}"


def _share(value, largest):
    """Percent of the full colour, by the logarithm of the MMD."""
    if value <= 0.0 or largest <= 0.0:
        return 0.0
    decades = _DECADES + np.log10(value / largest)
    return float(np.clip(100.0 * decades / _DECADES, 0.0, 100.0))
