"""Attention weights as heat maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_align.validation import checks
from keras_align.visualization.panels import (
    AS_IT_IS,
    GREY,
    WIDEST,
    check_panels,
    count_columns,
    make_figure,
    require,
    text_size,
    ticks_of,
)

TOKEN_SIZE = 9.0  # points
BAR = 1.0  # inches, a colour bar with its label


def plot_attention(
    scores: Any,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str] | None = None,
    special_tokens: Sequence[str] = (),
    gamma: float = 1.0,
    difference: bool = False,
) -> Any:
    """Draws attention weights over the words as heat maps with one colour scale.

    Each row shows how much one query looks at every key; its weights sum to one.
    Tokens such as [CLS] often take most of it. With `special_tokens` the scale ends at
    the largest weight of the other columns, so that these are seen, too; what exceeds
    it has the colour of its end. With `gamma` below 1 small weights are darker. See
    `plot_head_grid` for many heads and layers.

    Args:
        scores: The weights: a dictionary from the title of a panel to an array of
            shape `(T, S)`, to see models side by side, or one array of shape
            `(N, T, S)`, to see the heads side by side.
        query_tokens: List of `T` strings, the words of the rows.
        key_tokens: List of `S` strings, the words of the columns. Defaults to
            `query_tokens`, as in self-attention.
        special_tokens: List of strings, the key tokens whose columns do not count for
            the colour scale. Defaults to none.
        gamma: Float, positive. Power of the weight to which colours are proportional,
            but for those of `difference`. Defaults to `1.0`.
        difference: Bool, whether a further panel shows the second entry minus the
            first, in colours of their own around 0. Defaults to `False`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per entry or head.

    Raises:
        ValueError: If scores and tokens do not fit, scores are negative or not
            finite, or there is no second entry for `difference`.

    Example:

    >>> words = ["a", "fine", "film"]
    >>> scores = {"soft": np.full((3, 3), 1 / 3), "ct": np.eye(3)}
    >>> figure = keras_align.visualization.plot_attention(scores, words)
    """
    key_tokens = query_tokens if key_tokens is None else key_tokens
    _check_tokens("query_tokens", query_tokens)
    _check_tokens("key_tokens", key_tokens)
    checks.positive("gamma", gamma)
    scores = _read_scores(scores, query_tokens, key_tokens)
    changes = _difference(scores) if difference else {}
    width, height, labels = _panel_size(query_tokens, key_tokens)
    margin = labels + BAR * (1 + len(changes))
    most = max(int((WIDEST - margin) / width), 1)
    columns = count_columns(len(scores) + len(changes), min(most, 4))
    figure, panels = make_figure(
        [*scores, *changes],
        "plot_attention",
        width,
        height,
        most=min(most, 4),
        margin=margin,
    )
    panels = [axes for (axes,) in panels]
    counted = _counted_columns(key_tokens, special_tokens)
    _draw(figure, panels[: len(scores)], scores, counted, gamma)
    if changes:
        _draw(figure, panels[len(scores) :], changes, counted)
    _write_tokens(panels, columns, query_tokens, key_tokens)
    return figure


def _read_scores(scores, query_tokens, key_tokens):
    """Returns a dictionary from titles to checked arrays of shape (T, S)."""
    if not isinstance(scores, dict):
        heads = np.asarray(ops.convert_to_numpy(scores))
        if heads.ndim != 3:
            raise ValueError(
                "`scores` must be a dictionary or an array of shape (N, T, S). "
                f"Received: scores.shape={heads.shape}"
            )
        scores = {f"head {n}": head for n, head in enumerate(heads)}
    return {
        title: _check_scores(title, matrix, query_tokens, key_tokens)
        for title, matrix in check_panels(scores, "scores").items()
    }


def _difference(scores):
    """Returns the second of the weights minus the first, by its title."""
    if len(scores) < 2:
        raise ValueError(
            "`difference` needs two entries of `scores`. Received: difference=True "
            f"and scores of {list(scores)}"
        )
    (first, before), (second, after) = list(scores.items())[:2]
    return {f"{second} - {first}": after - before}


def _counted_columns(key_tokens, special_tokens):
    """Returns which columns count for the colour scale: all, if all are special."""
    counted = np.array([token not in special_tokens for token in key_tokens], bool)
    return counted if counted.any() else ~counted


def _draw(figure, panels, matrices, counted, gamma=None):
    """Draws weights, or without `gamma` differences, with one colour scale."""
    colors = require("matplotlib.colors", "plot_attention")
    values = np.stack(list(matrices.values()))
    largest = np.abs(values[:, :, counted]).max() or 1.0
    if gamma is None:
        norm, colours = colors.Normalize(-largest, largest), "RdBu_r"
        label = "difference of weights"
    else:
        norm, colours = colors.PowerNorm(gamma, 0.0, largest, clip=True), "Blues"
        label = "attention weight" + (f" (power {gamma:g})" if gamma != 1.0 else "")
    for axes, matrix in zip(panels, values, strict=True):
        image = axes.imshow(matrix, cmap=colours, norm=norm, aspect="auto")
    above, below = values.max() > norm.vmax, values.min() < norm.vmin
    extend = ("both" if below else "max") if above else "min" if below else "neither"
    ticks = ticks_of(norm, "plot_attention")
    style = {"shrink": 0.6, "aspect": 30, "pad": 0.02, "ticks": ticks}
    bar = figure.colorbar(image, ax=panels, extend=extend, **style)
    label += "" if counted.all() else "\nscale without special tokens"
    bar.set_label(label, color=GREY)
    bar.outline.set_visible(False)


def _write_tokens(panels, columns, query_tokens, key_tokens):
    """Writes tokens below the panels, and beside the first panel of a row."""
    for axes in panels:
        axes.set_xticks(range(len(key_tokens)), key_tokens, rotation=90, **AS_IT_IS)
        axes.set_yticks(range(len(query_tokens)), query_tokens, **AS_IT_IS)
        axes.tick_params(length=0, labelsize=TOKEN_SIZE, labelleft=False)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("keys", color=GREY)
    for axes in panels[::columns]:
        axes.tick_params(labelleft=True)
        axes.set_ylabel("queries", color=GREY)


def _panel_size(query_tokens, key_tokens):
    """Returns width and height of a panel, and of the labels beside it, in inches."""
    figure = require("matplotlib.figure", "plot_attention").Figure()
    cells, labels = [], []
    for tokens in (key_tokens, query_tokens):
        sizes = [text_size(figure, token, TOKEN_SIZE) for token in tokens]
        cell = max(0.17, 0.02 + max(height for _, height in sizes))
        cells.append(cell * max(len(tokens), 8))
        labels.append(max(width for width, _ in sizes))
    return cells[0] + 0.25, cells[1] + labels[0] + 0.9, labels[1] + 0.5


def _check_tokens(name, tokens):
    """Raises unless tokens are a sequence of strings."""
    is_sequence = isinstance(tokens, (list, tuple, np.ndarray))
    if not is_sequence or not all(isinstance(token, str) for token in tokens):
        raise ValueError(
            f"`{name}` must be a list of strings. Received: {name}={tokens!r}"
        )


def _check_scores(title, matrix, query_tokens, key_tokens):
    """Returns the weights of one panel as an array of shape (T, S)."""
    matrix = np.asarray(ops.convert_to_numpy(matrix), "float32")
    expected = (len(query_tokens), len(key_tokens))
    if matrix.shape != expected:
        raise ValueError(
            "`scores` must have a row for each of `query_tokens` and a column for "
            f"each of `key_tokens`, shape {expected}. Received: scores[{title!r}] "
            f"with shape {matrix.shape}"
        )
    if not matrix.size or not np.isfinite(matrix).all() or matrix.min() < 0:
        raise ValueError(
            "`scores` must hold at least one weight, all finite and not negative. "
            f"Received: scores[{title!r}]={matrix}"
        )
    return matrix
