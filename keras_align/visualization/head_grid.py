"""Attention weights of many layers and heads as small heat maps."""

from collections.abc import Sequence
from typing import Any

from keras_align.diagnostics.layer_names import short_names
from keras_align.validation import checks
from keras_align.visualization.chosen_layers import select_layers
from keras_align.visualization.grid_layout import NAME_SIZE, TOKEN_SIZE, GridLayout
from keras_align.visualization.panels import AS_IT_IS, GREY, require, ticks_of
from keras_align.visualization.recorded_sample import (
    check_records,
    read_sample,
    real_tokens,
)


def plot_head_grid(
    records: dict,
    tokens: Sequence[str] | None = None,
    layers: Sequence[str | int] | None = None,
    heads: Sequence[int] | None = None,
    sample: int = 0,
    key_tokens: Sequence[str] | None = None,
    special_tokens: Sequence[str] = (),
    gamma: float = 0.5,
) -> Any:
    """Draws the attention weights of one sample, a small heat map per layer and head.

    Rows of panels are layers, columns are heads; in a panel each row is a query and
    each column a key, without padding. All panels share one colour scale. Tokens stand
    beside the panels if these are large enough, otherwise below in their order, as many
    as six lines hold. See `plot_attention` for a few heads in large.

    Args:
        records: What `record_attention` returns.
        tokens: List of strings, of the queries: one for each position, padding
            included, or for those that are no padding alone. Defaults to `None`, for
            a picture without tokens.
        layers: List of layers in the order of the rows: their paths, the short names
            that the picture shows, or positions in `records`. Defaults to `None`, for
            all.
        heads: List of integers, the heads in the order of the columns; a layer
            without such a head has a blank. Defaults to `None`, for all.
        sample: Integer, the sample to show. Defaults to `0`.
        key_tokens: List of strings, of the keys in cross-attention, as `tokens`.
            Defaults to `None`, for `tokens`.
        special_tokens: List of strings, the key tokens whose columns do not count for
            the end of the colour scale, such as `"[CLS]"`. Defaults to none.
        gamma: Float, positive. Power of the weight to which colours are proportional.
            Defaults to `0.5`, which shows flat rows beside sharp ones.

    Returns:
        A `matplotlib.figure.Figure` with a panel per layer and head, and a colour bar.

    Raises:
        ValueError: If an argument is not as above, or a layer has no attention
            weights or other tokens than `tokens`; choose `layers` then.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    >>> records = record_attention(keras.Model(inputs, x), np.ones((4, 3, 16)))
    >>> words = ["a", "fine", "film"]
    >>> figure = keras_align.visualization.plot_head_grid(records, words, heads=[1])
    """
    checks.positive("gamma", gamma)
    chosen = select_layers(layers, check_records(records))
    samples = [read_sample(path, records[path], sample) for path in chosen]
    heads = _check_heads(heads, samples)
    texts = _texts(samples, tokens, key_tokens)
    names = [short_names(records)[path].replace("/", "/\n") for path in chosen]
    figure = require("matplotlib.figure", "plot_head_grid").Figure()
    norm, colours = _norm(samples, heads, texts, special_tokens, gamma)
    layout = GridLayout(figure, names, len(heads), texts, colours)
    panels = _draw(figure, layout, samples, heads, norm)
    _write_names(figure, layout, names, heads)
    if layout.has_tokens:
        _write_tokens(panels, texts)
    _add_bar(figure, layout, next(iter(panels.values())))
    return figure


def _check_heads(heads, samples):
    """Returns the heads to draw, of which each is one of some layer."""
    most = max(len(each.scores) for each in samples)
    if heads is None:
        return list(range(most))
    heads = list(heads) if isinstance(heads, (list, tuple, range)) else [heads]
    for head in heads:
        checks.count("heads", head)
    if not heads or len(set(heads)) < len(heads) or max(heads) >= most:
        raise ValueError(
            f"Argument `heads` must hold integers from 0 to {most - 1}, at least one "
            f"and none twice. Received: heads={heads}"
        )
    return heads


def _texts(samples, tokens, key_tokens):
    """Returns the tokens of queries and keys, of which all layers have the same."""
    if tokens is None:
        if key_tokens is not None:
            raise ValueError(
                "Argument `tokens` must be given with `key_tokens`. "
                "Received: tokens=None"
            )
        return None
    key_name, keys = "key_tokens", key_tokens
    if key_tokens is None:
        key_name, keys = "tokens", tokens
    texts = [
        (
            real_tokens("tokens", tokens, each.query_mask),
            real_tokens(key_name, keys, each.key_mask, of_keys=key_tokens is None),
        )
        for each in samples
    ]
    if any(each != texts[0] for each in texts):
        raise ValueError(
            "Argument `layers` must be of layers with the same real tokens, if tokens "
            "are given. Received: layers that differ in what is padding"
        )
    return texts[0]


def _norm(samples, heads, texts, special_tokens, gamma):
    """Returns the colour scale of all panels, and what it is called."""
    colors = require("matplotlib.colors", "plot_head_grid")
    drawn = [
        each.scores[[h for h in heads if h < len(each.scores)]] for each in samples
    ]
    colours = "attention weight" + (f" (power {gamma:g})" if gamma != 1.0 else "")
    counted = [key not in special_tokens for key in texts[1]] if texts else [True]
    if any(counted) and not all(counted):
        drawn = [scores[..., counted] for scores in drawn]
        colours += ", scale without special tokens"
    largest = max(scores.max(initial=0.0) for scores in drawn)
    return colors.PowerNorm(gamma, 0.0, largest or 1.0, clip=True), colours


def _draw(figure, layout, samples, heads, norm):
    """Draws the panels; returns their axes by row and column."""
    panels = {}
    for row, each in enumerate(samples):
        for column, head in enumerate(heads):
            if head < len(each.scores):
                axes = figure.add_axes(layout.panel(row, column))
                axes.imshow(each.scores[head], cmap="Blues", norm=norm, aspect="auto")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(color="#BBBBBB", lw=0.5)
                panels[row, column] = axes
    return panels


def _write_names(figure, layout, names, heads):
    """Writes layers beside the rows, heads above the columns, and what is below."""
    style = {"fontsize": NAME_SIZE, **AS_IT_IS}
    for row, name in enumerate(names):
        place = layout.name(row)
        figure.text(*place, name, ha="right", va="center", **style)
    for column, head in enumerate(heads):
        place = layout.head(column)
        figure.text(*place, str(head), ha="center", va="bottom", **style)
    place = layout.corner
    figure.text(*place, "head", ha="right", va="bottom", color=GREY, **style)
    style["fontsize"] = TOKEN_SIZE
    place = layout.caption
    figure.text(*place, layout.lines, ha="left", va="bottom", color=GREY, **style)


def _write_tokens(panels, texts):
    """Writes tokens beside the first panel of a row and below the last of a column."""
    queries, keys = texts
    for row, column in panels:
        axes = panels[row, column]
        axes.tick_params(length=0, labelsize=TOKEN_SIZE, pad=2)
        if (row, column - 1) not in panels:
            axes.set_yticks(range(len(queries)), queries, **AS_IT_IS)
        if (row + 1, column) not in panels:
            axes.set_xticks(range(len(keys)), keys, rotation=90, **AS_IT_IS)


def _add_bar(figure, layout, axes):
    (image,) = axes.images
    ticks = ticks_of(image.norm, "plot_head_grid")
    bar = figure.colorbar(image, cax=figure.add_axes(layout.bar), ticks=ticks)
    bar.ax.tick_params(labelsize=TOKEN_SIZE)
    bar.outline.set_visible(False)
