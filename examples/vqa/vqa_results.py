"""Runs in a CSV file, so that a comparison that was stopped goes on; their table."""

import comparing
import numpy as np
import runs_file

from keras_align.diagnostics.reporting import format_table

KEY = ("data", "images", "method", "weight", "options", "settings", "seed", "samples")
SCORES = ("accuracy", "accuracy_open", "accuracy_closed", "ece", "pavpu", "coverage")
SCORES += ("risk_coverage",)
OF_RUN = (*SCORES, *(f"noisy_{name}" for name in SCORES))
OF_RUN += ("loss", "alignment_loss", "parameters", "seconds_per_step")
TITLES = {
    "accuracy": "accuracy, %",
    "accuracy_open": "accuracy of open questions, %",
    "accuracy_closed": "accuracy of closed questions, %",
    "ece": "ECE, %",
    "pavpu": "PAvPU, %",
    "coverage": "coverage at 5% risk, %",
    "risk_coverage": "area under risk-coverage, %",
}


class Runs(runs_file.Runs):
    """The rows of a CSV file, see `runs_file.Runs`."""

    def __init__(self, file):
        super().__init__(file, KEY, OF_RUN)


def key_of(name, method, seed, settings, options):
    """Returns what names a run: the first columns of its row."""
    images = "none" if options.question_only else "all"
    config = method.alignment.get_config() if method.alignment else {}
    text = " ".join(
        f"{option}={config[option]}"
        for option in sorted(config.keys() - {"name", "trainable", "dtype"})
    )
    values = options.data, images, name, method.weight, text, settings, seed
    return dict(zip(KEY, (*values, options.samples), strict=True))


def table(by_method):
    """Returns a table of scores, with paired differences to the first method.

    Args:
        by_method: Dictionary from titles of methods to lists of rows, of the same seeds
            in the same order.
    """
    first, *others = by_method
    titles = ["", first, *others, *(f"{title} - {first}" for title in others)]
    rows = []
    for kind in ("", "noisy_"):
        for name, title in TITLES.items():
            cells = _cells(by_method, kind + name, 100.0, 2)
            rows += [[f"noisy: {title}" if kind else title, *cells]] if cells else []
    rows.append(["parameters, thousands", *_cells(by_method, "parameters", 1e-3, 1)])
    rows.append(["CPU seconds a step", *_cells(by_method, "seconds_per_step", 1.0, 3)])
    return "\n".join(format_table(titles, rows, range(1, len(titles))))


def _cells(by_method, name, factor, digits):
    """The spread of every method, then the differences; nothing if all is NaN."""
    values = [
        factor * np.array([float(row[name]) for row in rows])
        for rows in by_method.values()
    ]
    if np.isnan(values).all():
        return []
    cells = [comparing.spread(each, digits) for each in values]
    return cells + [comparing.difference(x - values[0], digits) for x in values[1:]]
