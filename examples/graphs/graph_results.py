"""Runs in a CSV file, so that a comparison that was stopped goes on; their table."""

import comparing
import numpy as np
import runs_file

from keras_align.diagnostics.reporting import format_table

KEY = ("dataset", "scoring", "split", "method", "weight", "options", "precision")
KEY += ("seed", "epochs", "patience")
SCORES = ("accuracy", "nll", "ece", "scaled_ece", "noisy_features", "noisy_links")
OF_RUN = ("validation_accuracy", *SCORES, "alignment_loss", "mmd")
OF_RUN += ("best_epoch", "epochs_run", "seconds")
TITLES = {
    "accuracy": "accuracy, %",
    "nll": "NLL",
    "ece": "ECE, %",
    "scaled_ece": "ECE scaled, %",
    "noisy_features": "accuracy, noisy features, %",
    "noisy_links": "accuracy, noisy links, %",
    "mmd": "total MMD",
    "validation_accuracy": "validation accuracy, %",
}


class Runs(runs_file.Runs):
    """The rows of a CSV file, see `runs_file.Runs`."""

    def __init__(self, file):
        super().__init__(file, KEY, OF_RUN)


def table(by_method):
    """Returns a table of scores, with paired differences to the first method.

    Args:
        by_method: Dictionary from titles of methods to lists of rows, of the same seeds
            in the same order.
    """
    first, *others = by_method
    titles = ["", first, *others, *(f"{title} - {first}" for title in others)]
    rows = []
    for name, title in TITLES.items():
        factor, digits = (100.0, 2) if title.endswith("%") else (1.0, 3)
        values = [
            factor * np.array([float(row[name]) for row in of_method])
            for of_method in by_method.values()
        ]
        cells = [comparing.spread(each, digits) for each in values]
        differences = [each - values[0] for each in values[1:]]
        cells += [comparing.difference(each, digits) for each in differences]
        rows.append([title, *cells])
    return "\n".join(format_table(titles, rows, range(1, len(titles))))
