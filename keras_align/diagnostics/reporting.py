"""What is aligned in a model, and how."""

import html
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace

import keras

from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import (
    check_layer,
    has_trainable_projections,
    head_size,
    is_aligned,
    is_supported,
    num_heads,
    why_unsupported,
)
from keras_align.moments import match_of

_TITLES = ("layer", "class", "heads", "size", "alignment", "weight", "added", "note")


@dataclass(frozen=True)
class LayerReport:
    """One attention layer of a model.

    Attributes:
        path: string, the names from below the model to the layer, joined by "/".
        class_name: string, the layer's class.
        num_heads: int, or `None` for an unsupported class.
        head_size: int, or `None` for an unsupported class.
        alignment: string, the alignment's class, or `None` for plain attention.
        alignment_weight: float or `None`.
        added_weights: int, how many numbers the alignment trains.
        note: string, why a layer is plain, or what of an aligned one is frozen, or
            what its loss trains if that is not the default of the alignment, and what
            `match_moments` did to it or why nothing.
    """

    path: str
    class_name: str
    num_heads: int | None
    head_size: int | None
    alignment: str | None
    alignment_weight: float | None
    added_weights: int
    note: str


@dataclass(frozen=True)
class AlignmentReport:
    """The attention layers of a model; prints as a table.

    Attributes:
        rows: tuple of `LayerReport`, in the order of `align_model`'s indices, followed
            by attention of unsupported classes.
    """

    rows: tuple[LayerReport, ...]

    @property
    def aligned(self) -> tuple[LayerReport, ...]:
        """Tuple of the rows of aligned layers."""
        return tuple(row for row in self.rows if row.alignment is not None)

    @property
    def added_weights(self) -> int:
        """Number of weights that all alignments together added."""
        return sum(row.added_weights for row in self.rows)

    def to_dicts(self) -> list[dict[str, object]]:
        """List of dictionaries, one a row, as `pandas.DataFrame` takes them."""
        return [
            {field.name: getattr(row, field.name) for field in fields(row)}
            for row in self.rows
        ]

    def __str__(self) -> str:
        lines = format_table(_TITLES, self._cells(), right_aligned=(2, 3, 5, 6))
        return "\n".join([*lines, self._summary()])

    __repr__ = __str__

    def _repr_html_(self):
        """The table of a notebook."""
        rows = [("th", _TITLES), *(("td", cells) for cells in self._cells())]
        lines = [
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            for tag, cells in rows
        ]
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table>{body}</table><p>{self._summary()}</p>"

    def _cells(self):
        return [["" if x is None else _text(x) for x in astuple(r)] for r in self.rows]

    def _summary(self):
        return (
            f"{len(self.aligned)} of {len(self.rows)} attention layers aligned, "
            f"{self.added_weights:,} weights added"
        )


def alignment_report(model: keras.layers.Layer) -> AlignmentReport:
    """Lists the attention layers of a model and how each is aligned.

    Args:
        model: `keras.Model` or `keras.layers.Layer`.

    Returns:
        An `AlignmentReport`. It prints as a table, its `rows` are the data.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras_align.AlignedMultiHeadAttention(2, 8, alignment="mmd")(inputs, inputs)
    >>> report = keras_align.alignment_report(keras.Model(inputs, x))
    >>> report.rows[0].num_heads, report.added_weights
    (2, 0)
    """
    supported, others = find_attention(model)
    rows = (_with_match(each.layer, _row(each)) for each in [*supported, *others])
    return AlignmentReport(tuple(rows))


def format_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    right_aligned: Collection[int] = (),
) -> list[str]:
    """Lines of a text table.

    Args:
        titles: sequence of strings, the head.
        rows: list of sequences of strings.
        right_aligned: indices of columns of numbers.
    """
    table = [list(titles), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if index in right_aligned else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
    return lines


def _row(found):
    layer = found.layer
    if not is_supported(layer):
        return _without_alignment(found, why_unsupported(layer))
    try:
        shape = num_heads(layer), head_size(layer) if layer.built else None
        if layer.built and not is_aligned(layer):
            check_layer(layer)
    except ValueError as error:  # as an adapter that does not fit: see `align_model`
        return _without_alignment(found, str(error))
    if not is_aligned(layer):
        note = "plain" if layer.built else "plain, not built"
        return _without_alignment(found, note, *shape)
    weight = layer.alignment_options["alignment_weight"]
    alignment = type(layer.alignment).__name__.removesuffix("Alignment")
    own = layer.alignment.weights
    added = sum(math.prod(weight.shape) for weight in own if weight.trainable)
    note = "" if has_trainable_projections(layer) else "frozen"
    if own and not added:
        note = note or "alignment frozen"
    alone = layer._trains_projections_only
    if alone != layer.alignment.default_projections_only:
        note = note or ("projections only" if alone else "all layers")
    name = type(layer).__name__
    return LayerReport(found.path, name, *shape, alignment, weight, added, note)


def _with_match(layer, row):
    matched = match_of(layer)
    notes = [row.note, f"moments {matched}" if matched else ""]
    return replace(row, note="; ".join(filter(None, notes)))


def _without_alignment(found, note, heads=None, size=None):
    name = type(found.layer).__name__
    return LayerReport(found.path, name, heads, size, None, None, 0, note)


def _text(value):
    return f"{value:,}" if isinstance(value, int) else str(value)
