"""Attention weights as heat maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_align.visualization.panels import (
    AS_IT_IS,
    GREY,
    check_panels,
    count_columns,
    make_figure,
    require,
    text_size,
)

TOKEN_SIZE = 9.0  # points


def plot_attention(
    scores: Any,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str] | None = None,
) -> Any:
    """Draws attention weights over the words as heat maps with one colour scale.

    Each row shows how much one query looks at every key; its weights sum to one.

    Args:
        scores: The weights: a dictionary from the title of a panel to an array of
            shape `(T, S)`, to see models side by side, or one array of shape
            `(N, T, S)`, to see the heads side by side.
        query_tokens: List of `T` strings, the words of the rows.
        key_tokens: List of `S` strings, the words of the columns. Defaults to
            `query_tokens`, as in self-attention.

    Returns:
        A `matplotlib.figure.Figure` with one panel per entry or head.

    Raises:
        ValueError: If scores and tokens do not fit, or scores are negative or not
            finite.

    Example:

    >>> words = ["a", "fine", "film"]
    >>> scores = {"soft": np.full((3, 3), 1 / 3), "ct": np.eye(3)}
    >>> figure = keras_align.visualization.plot_attention(scores, words)
    """
    key_tokens = query_tokens if key_tokens is None else key_tokens
    _check_tokens("query_tokens", query_tokens)
    _check_tokens("key_tokens", key_tokens)
    if not isinstance(scores, dict):
        heads = np.asarray(ops.convert_to_numpy(scores))
        if heads.ndim != 3:
            raise ValueError(
                "`scores` must be a dictionary or an array of shape (N, T, S). "
                f"Received: scores.shape={heads.shape}"
            )
        scores = {f"head {n}": head for n, head in enumerate(heads)}
    scores = {
        title: _check_scores(title, matrix, query_tokens, key_tokens)
        for title, matrix in check_panels(scores, "scores").items()
    }
    width, height, left = _panel_size(query_tokens, key_tokens)
    bar = 1.0 / count_columns(len(scores))  # inches of a panel
    figure, panels = make_figure(
        list(scores), "plot_attention", width + bar, height, left + bar
    )
    largest = max(matrix.max() for matrix in scores.values())
    for (axes,), matrix in zip(panels, scores.values(), strict=True):
        image = axes.imshow(matrix, cmap="Blues", vmin=0.0, vmax=largest, aspect="auto")
        axes.set_xticks(range(len(key_tokens)), key_tokens, rotation=90, **AS_IT_IS)
        axes.set_yticks(range(len(query_tokens)), query_tokens, **AS_IT_IS)
        axes.tick_params(length=0, labelsize=TOKEN_SIZE)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("keys", color=GREY)
    for (axes,) in panels[:: count_columns(len(scores))]:
        axes.set_ylabel("queries", color=GREY)
    bar = figure.colorbar(image, ax=figure.axes, shrink=0.6, aspect=30, pad=0.02)
    bar.set_label("attention weight", color=GREY)
    bar.outline.set_visible(False)
    return figure


def _panel_size(query_tokens, key_tokens):
    """Returns width and height of a panel, and what is left of its axes, in inches."""
    figure = require("matplotlib.figure", "plot_attention").Figure()
    cells, labels = [], []
    for tokens in (key_tokens, query_tokens):
        sizes = [text_size(figure, token, TOKEN_SIZE) for token in tokens]
        cell = max(0.24, 0.06 + max(height for _, height in sizes))
        cells.append(cell * max(len(tokens), 8))
        labels.append(max(width for width, _ in sizes))
    left = labels[1] + 0.5
    return cells[0] + left + 0.1, cells[1] + labels[0] + 0.9, left


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
