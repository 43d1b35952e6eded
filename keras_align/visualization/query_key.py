"""Queries and keys as points in the plane."""

import numbers
from typing import Any

import numpy as np
from keras import ops

from keras_align.validation import checks
from keras_align.visualization.panels import (
    BLUE,
    VERMILLION,
    add_legend,
    check_panels,
    make_figure,
    require,
)


def plot_query_key(
    points: dict, max_tokens: int = 500, perplexity: float = 30.0, seed: int = 0
) -> Any:
    """Draws queries and keys as points of two colours, one panel per model.

    Each panel is a t-SNE embedding of the queries and keys of one head, both
    embedded together: where the two distributions match, the colours mix; where they
    do not, the colours form islands. Distances between panels mean nothing.

    Args:
        points: Dictionary from the title of a panel to a pair `(queries, keys)` of
            arrays of shape `(tokens, head size)`; padding left out.
        max_tokens: Integer, at least 2. The most queries, and keys, drawn in a
            panel; of more, a random sample is taken. Defaults to `500`.
        perplexity: Float, positive. The number of neighbours that t-SNE tries to
            keep together; lowered where there are few points. Defaults to `30.0`.
        seed: Integer. The same seed gives the same picture. Defaults to `0`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per entry.

    Raises:
        ValueError: If an argument is not as above.

    References:
        - [van der Maaten & Hinton, 2008](https://jmlr.org/papers/v9/vandermaaten08a.html)

    Example:

    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(2, 200, 32))
    >>> figure = keras_align.visualization.plot_query_key(
    ...     {"soft": (queries + 2, keys), "ct": (queries, keys)}
    ... )
    >>> figure.savefig("query_key.png")
    """
    if not isinstance(max_tokens, numbers.Integral) or max_tokens < 2:
        raise ValueError(
            "`max_tokens` must be an integer of at least 2. "
            f"Received: max_tokens={max_tokens!r}"
        )
    checks.positive("perplexity", perplexity)
    checks.count("seed", seed)
    points = {
        title: _check_points(title, pair)
        for title, pair in check_panels(points, "points").items()
    }
    figure, panels = make_figure(list(points), "plot_query_key", width=4.2, height=4.4)
    for (axes,), (queries, keys) in zip(panels, points.values(), strict=True):
        rng = np.random.default_rng(seed)
        queries = _sample(queries, max_tokens, rng)
        keys = _sample(keys, max_tokens, rng)
        embedded = _embed(np.concatenate([queries, keys]), perplexity, seed)
        _draw_points(axes, embedded[: len(queries)], BLUE, "o", "queries")
        _draw_points(axes, embedded[len(queries) :], VERMILLION, "^", "keys")
        axes.set(xticks=[], yticks=[])
    add_legend(figure, panels[0][0])
    return figure


def _draw_points(axes, points, color, marker, label):
    axes.scatter(*points.T, s=14, c=color, marker=marker, alpha=0.6, lw=0, label=label)


def _embed(points, perplexity, seed):
    """Embeds points in the plane with t-SNE."""
    manifold = require("sklearn.manifold", "plot_query_key")
    threads = require("threadpoolctl", "plot_query_key")
    points = points / (np.abs(points).max() or 1.0)  # squares stay finite
    # Principal components need two dimensions and some variance.
    spread = points.shape[-1] > 1 and np.ptp(points, axis=0).any()
    embedding = manifold.TSNE(
        init="pca" if spread else "random",
        perplexity=min(perplexity, (len(points) - 1) / 3),
        random_state=seed,
    )
    # So few points gain nothing from threads, and on a busy machine the threads
    # wait for each other a hundred times longer than one needs.
    with threads.threadpool_limits(1):
        return embedding.fit_transform(points)


def _sample(points, count, rng):
    """Draws `count` points without replacement, or takes all if there are fewer."""
    if len(points) <= count:
        return points
    return points[rng.choice(len(points), count, replace=False)]


def _check_points(title, pair):
    """Returns queries and keys as float arrays of the same width."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            "`points` must hold pairs (queries, keys). "
            f"Received: points[{title!r}]={type(pair).__name__}"
        )
    queries, keys = (np.asarray(ops.convert_to_numpy(x), "float32") for x in pair)
    shapes = queries.shape, keys.shape
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(
            "`points` must hold queries and keys of shape (tokens, head size). "
            f"Received: points[{title!r}] with shapes {shapes[0]} and {shapes[1]}"
        )
    if min(len(queries), len(keys)) < 2:
        raise ValueError(
            "`points` must hold at least two queries and two keys. "
            f"Received: points[{title!r}] with shapes {shapes[0]} and {shapes[1]}"
        )
    if not (np.isfinite(queries).all() and np.isfinite(keys).all()):
        raise ValueError(
            f"`points` must be finite. Received: points[{title!r}] with NaN or infinity"
        )
    return queries, keys
