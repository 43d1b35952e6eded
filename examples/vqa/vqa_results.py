"""Runs in a CSV file, so that a comparison that was stopped goes on; their table."""

import functools

import comparing
import runs_file
from question_data import HELD_OUT_TITLE

KEY = ("data", "images", "method", "weight", "options", "settings", "seed", "samples")
SCORES = ("accuracy", "accuracy_open", "accuracy_closed", "wups", "wups_0", "ece")
SCORES += ("pavpu", "coverage", "risk_coverage")
OF_RUN = (*SCORES, *(f"noisy_{name}" for name in SCORES))
OF_RUN += ("loss", "alignment_loss", "parameters", "seconds_per_step")
TITLES = {
    "accuracy": "accuracy, %",
    "accuracy_open": "accuracy of open questions, %",
    "accuracy_closed": "accuracy of closed questions, %",
    "wups": "WUPS at 0.9, %",
    "wups_0": "WUPS at 0.0, %",
    "ece": "ECE, %",
    "pavpu": "PAvPU, %",
    "coverage": "coverage at 5% risk, %",
    "risk_coverage": "area under risk-coverage, %",
}


Runs = functools.partial(runs_file.Runs, key=KEY, of_run=OF_RUN)


def key_of(name, method, seed, settings, options):
    """Returns what names a run: the first columns of its row."""
    data = f"{options.data}{HELD_OUT_TITLE}" if options.held_out else options.data
    images = "none" if options.question_only else "all"
    values = data, images, name, method.weight, method.options, settings, seed
    return dict(zip(KEY, (*values, options.samples), strict=True))


def table(by_method):
    """Returns a table of scores, see `comparing.table`."""
    lines = [(name, title, 100.0, 2) for name, title in TITLES.items()]
    lines += [
        (f"noisy_{name}", f"noisy: {title}", *rest) for name, title, *rest in lines
    ]
    lines.append(("parameters", "parameters, thousands", 1e-3, 1))
    lines.append(("seconds_per_step", "CPU seconds a step", 1.0, 3))
    return comparing.table(by_method, lines)
