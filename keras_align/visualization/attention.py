"""Attention weights as heat maps."""

import numpy as np
from keras import ops

from keras_align.visualization.panels import (
    GREY,
    check_panels,
    count_columns,
    make_figure,
)


def plot_attention(scores, query_tokens, key_tokens=None):
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

    Example:

    >>> words = ["a", "fine", "film"]
    >>> scores = {"soft": np.full((3, 3), 1 / 3), "ct": np.eye(3)}
    >>> figure = keras_align.visualization.plot_attention(scores, words)
    """
    key_tokens = query_tokens if key_tokens is None else key_tokens
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
    # Room for the words, and cells that are about square.
    width, height = (1.5 + 0.24 * max(len(t), 8) for t in (key_tokens, query_tokens))
    width += 1.0 / count_columns(len(scores))  # the colour bar's
    figure, panels = make_figure(len(scores), "plot_attention", width, height + 0.3)
    largest = max(matrix.max() for matrix in scores.values())
    for (axes,), (title, matrix) in zip(panels, scores.items(), strict=True):
        image = axes.imshow(matrix, cmap="Blues", vmin=0.0, vmax=largest, aspect="auto")
        axes.set_title(title)
        axes.set_xticks(range(len(key_tokens)), key_tokens, rotation=90)
        axes.set_yticks(range(len(query_tokens)), query_tokens)
        axes.tick_params(length=0, labelsize=9)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("keys", color=GREY)
    for (axes,) in panels[:: count_columns(len(scores))]:
        axes.set_ylabel("queries", color=GREY)
    bar = figure.colorbar(image, ax=figure.axes, shrink=0.6, aspect=30, pad=0.02)
    bar.set_label("attention weight", color=GREY)
    bar.outline.set_visible(False)
    return figure


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
