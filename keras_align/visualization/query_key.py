"""Queries and keys as clouds of points."""

import numpy as np
from keras import ops

from keras_align.visualization.panels import (
    BLUE,
    VERMILLION,
    check_panels,
    make_figure,
    require,
)


def plot_query_key(clouds, max_tokens=500, perplexity=30.0, seed=0):
    """Draws queries and keys as two clouds of points, one panel per model.

    Each panel is a t-SNE embedding (van der Maaten & Hinton, 2008) of the queries
    and keys of one head, both embedded together: where the two distributions
    match, the colours mix; where they do not, the colours form islands. Distances
    between panels mean nothing.

    Args:
        clouds: Dictionary from the title of a panel to a pair `(queries, keys)` of
            arrays of shape `(tokens, head size)`; padding left out.
        max_tokens: Integer, at least 2. The most queries, and keys, drawn in a
            panel; larger clouds are sampled. Defaults to `500`.
        perplexity: Float, positive. The number of neighbours that t-SNE tries to
            keep together; lowered for clouds with few points. Defaults to `30.0`.
        seed: Integer. The same seed gives the same picture. Defaults to `0`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per entry.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(2, 200, 32))
    >>> figure = keras_align.visualization.plot_query_key(
    ...     {"soft": (queries + 2, keys), "ct": (queries, keys)}
    ... )
    >>> figure.savefig("query_key.png")
    """
    if not isinstance(max_tokens, int) or max_tokens < 2:
        raise ValueError(
            "`max_tokens` must be an integer of at least 2. "
            f"Received: max_tokens={max_tokens!r}"
        )
    if not perplexity > 0:
        raise ValueError(
            f"`perplexity` must be positive. Received: perplexity={perplexity!r}"
        )
    clouds = {
        title: _check_cloud(title, pair)
        for title, pair in check_panels(clouds, "clouds").items()
    }
    figure, panels = make_figure(len(clouds), "plot_query_key", width=4.2, height=4.4)
    for (axes,), (title, (queries, keys)) in zip(panels, clouds.items(), strict=True):
        rng = np.random.default_rng(seed)
        queries = _sample(queries, max_tokens, rng)
        keys = _sample(keys, max_tokens, rng)
        points = np.concatenate([queries, keys])
        points = _embed(points, perplexity, seed)
        _draw_cloud(axes, points[: len(queries)], BLUE, "o", "queries")
        _draw_cloud(axes, points[len(queries) :], VERMILLION, "^", "keys")
        axes.set(title=title, xticks=[], yticks=[])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_cloud(axes, points, color, marker, label):
    axes.scatter(*points.T, s=14, c=color, marker=marker, alpha=0.6, lw=0, label=label)


def _embed(points, perplexity, seed):
    """Embeds points in the plane with t-SNE."""
    manifold = require("sklearn.manifold", "plot_query_key")
    threads = require("threadpoolctl", "plot_query_key")
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


def _check_cloud(title, pair):
    """Returns queries and keys as float arrays of the same width."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            "`clouds` must hold pairs (queries, keys). "
            f"Received: clouds[{title!r}]={type(pair).__name__}"
        )
    queries, keys = (np.asarray(ops.convert_to_numpy(c), "float32") for c in pair)
    shapes = queries.shape, keys.shape
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(
            "`clouds` must hold queries and keys of shape (tokens, head size). "
            f"Received: clouds[{title!r}] with shapes {shapes[0]} and {shapes[1]}"
        )
    if min(len(queries), len(keys)) < 2:
        raise ValueError(
            "`clouds` must hold at least two queries and two keys. "
            f"Received: clouds[{title!r}] with shapes {shapes[0]} and {shapes[1]}"
        )
    if not (np.isfinite(queries).all() and np.isfinite(keys).all()):
        raise ValueError(
            f"`clouds` must be finite. Received: clouds[{title!r}] with NaN or infinity"
        )
    return queries, keys
