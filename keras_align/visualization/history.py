"""Curves of what training logged."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_align.diagnostics.layer_names import short_names
from keras_align.validation import checks
from keras_align.visualization.logged_curves import (
    curves_of_run,
    has_steps,
    read_runs,
)
from keras_align.visualization.panels import (
    BLUE,
    GREY,
    PALETTE,
    explain,
    make_figure,
    require,
)

VALIDATION = "val_"


def plot_history(
    history: Any,
    quantities: Sequence[str] | None = None,
    axis: str | None = None,
    log_scale: Sequence[str] = (),
) -> Any:
    """Draws what training logged as curves, one panel per quantity.

    Losses come first, then metrics, then what was logged of the alignment, each on a
    scale of its own. The validation curve of a quantity, logged as `"val_..."`, is
    dashed, in the panel of the training curve. Numbers that are not finite are gaps;
    what has no neighbour, as in a history of one epoch, is drawn as a point. Epochs
    are those that were finished.

    The records of an `AlignmentMonitor` give panels such as `"alignment/mmd"`, with a
    curve per layer. If runs are compared, they give one per run, the mean over layers,
    with a band from the lowest layer to the highest.

    Args:
        history: A `keras.callbacks.History`, as `fit` returns it; a dictionary from
            names to lists of numbers, one per epoch (shorter lists are of every k-th
            epoch, as with `validation_freq`); an `AlignmentMonitor`, or a list of
            records such as its; or a dictionary from titles to any of these, to
            compare runs.
        quantities: List of strings, the names of the panels in their order, without
            `"val_"`. Defaults to `None`, for all.
        axis: `"epoch"` or `"step"`, what curves are drawn over; over epochs, records
            within an epoch are left out. Defaults to `None`, for steps where all runs
            are records and some are within an epoch, else for epochs.
        log_scale: List of strings, the quantities with a logarithmic scale, on which
            what is not positive is not drawn. Defaults to none.

    Returns:
        A `matplotlib.figure.Figure` with one panel per quantity.

    Raises:
        ValueError: If `history` is none of these or holds nothing, a quantity was not
            logged, or `axis` is `"step"` for a history of epochs.

    Example:

    >>> logs = {"loss": [0.7, 0.5], "val_loss": [0.7, 0.6], "alignment_loss": [2, 1]}
    >>> figure = keras_align.visualization.plot_history(logs)
    >>> [axes.get_title() for axes in figure.axes]
    ['loss', 'alignment_loss']
    """
    checks.choice("axis", axis, (None, "epoch", "step"))
    runs = read_runs(history)
    if axis is None:
        axis = "step" if all(map(has_steps, runs.values())) else "epoch"
    curves = {
        title: curves_of_run(run, axis, by_layer=len(runs) == 1)
        for title, run in runs.items()
    }
    names = _choose(quantities, _quantities(curves), "quantities")
    logarithmic = _choose(log_scale, names, "log_scale")
    colours = _colours(curves)
    figure, panels = make_figure(
        names, "plot_history", width=3.3, height=2.7, left=0.7, most=3
    )
    for (axes,), name in zip(panels, names, strict=True):
        for title, of_run in curves.items():
            of_title = colours if len(runs) == 1 else colours[title]
            _draw_quantity(axes, name, of_run, of_title)
        _arrange(axes, axis, name in logarithmic)
    _explain(figure, names, curves, colours)
    return figure


def _base(name):
    return name.removeprefix(VALIDATION)


def _quantities(curves):
    """Returns the names of the panels: losses, metrics, then the alignment."""
    names = dict.fromkeys(_base(name) for of_run in curves.values() for name in of_run)

    def place(name):
        if name.startswith("alignment"):
            return 3
        if name == "learning_rate":
            return 4
        return 0 if name == "loss" else 1 if name.endswith("_loss") else 2

    return sorted(names, key=place)


def _choose(chosen, names, argument):
    """Returns the chosen names, or all, or raises for a name that there is not."""
    if chosen is None:
        return names
    chosen = [chosen] if isinstance(chosen, str) else list(chosen)
    unknown = [name for name in chosen if name not in names]
    if unknown or (argument == "quantities" and not chosen):
        raise ValueError(
            f"Argument `{argument}` must hold names out of {names}. "
            f"Received: {argument}={chosen}"
        )
    return chosen


def _colours(curves):
    """Returns colours by run, or by layer for one run of records."""
    if len(curves) > 1:
        return {t: PALETTE[n % len(PALETTE)] for n, t in enumerate(curves)}
    (of_run,) = curves.values()
    layers = list(dict.fromkeys(label for each in of_run.values() for label in each))
    if layers == [""]:
        return {"": BLUE}
    shades = require("matplotlib", "plot_history").colormaps["viridis"]
    places = np.linspace(0.0, 0.9, len(layers))
    return dict(zip(layers, map(shades, places), strict=True))


def _draw_quantity(axes, name, of_run, colours):
    """Draws training and validation curves of a quantity in one colour, or by label."""
    for full, style, fill in ((name, "-", None), (VALIDATION + name, "--", "white")):
        for label, curve in of_run.get(full, {}).items():
            colour = colours if isinstance(colours, str) else colours[label]
            line = {"color": colour, "ls": style, "lw": 1.6}
            marks = {"marker": "o", "ms": 5, "mfc": fill or colour, "mec": colour}
            marks["markevery"] = _alone(curve.y)
            axes.plot(curve.x, curve.y, **line, **marks)
            if curve.spread is not None:
                axes.fill_between(
                    curve.x, *curve.spread, color=colour, alpha=0.15, lw=0
                )


def _alone(y):
    """Returns the places of finite numbers without a finite neighbour."""
    finite = np.pad(np.isfinite(y), 1)
    return np.flatnonzero(finite[1:-1] & ~finite[:-2] & ~finite[2:]).tolist()


def _arrange(axes, axis, logarithmic):
    ticker = require("matplotlib.ticker", "plot_history")
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useOffset=False)
    places = np.concatenate([line.get_xdata() for line in axes.lines])
    if places.min() == places.max():
        axes.set_xlim(places[0] - 0.5, places[0] + 0.5)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel(axis, color=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", lw=0.6)


def _explain(figure, names, curves, colours):
    """Explains colours and line styles, where there is more than one."""
    line = require("matplotlib.lines", "plot_history").Line2D
    labels = short_names(colours) if len(curves) == 1 else {t: t for t in colours}
    handles = {}
    if len(colours) > 1:
        handles = {
            labels[name] or "all layers": line([], [], color=colour, lw=2)
            for name, colour in colours.items()
        }
    logged = {
        name: each
        for of_run in curves.values()
        for name, each in of_run.items()
        if _base(name) in names
    }
    if any(name.startswith(VALIDATION) for name in logged):
        style = {"color": GREY if handles else BLUE, **_mark(logged)}
        handles["training"] = line([], [], **style)
        handles["validation"] = line([], [], ls="--", **style | {"mfc": "white"})
    if any(curve.spread for each in logged.values() for curve in each.values()):
        patch = require("matplotlib.patches", "plot_history").Patch
        handles["lowest to highest layer"] = patch(color=GREY, alpha=0.3, lw=0)
    if handles:
        explain(figure, handles)


def _mark(logged):
    """Returns how curves are marked, if a number stands alone."""
    alone = [_alone(curve.y) for each in logged.values() for curve in each.values()]
    return {"marker": "o", "ms": 5} if any(alone) else {}
