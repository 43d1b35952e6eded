"""Runs in a CSV file, so that a comparison that was stopped goes on; their table."""

import csv
import dataclasses

import comparing
import numpy as np

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


@dataclasses.dataclass
class Runs:
    """The rows of a CSV file.

    Args:
        file: `pathlib.Path`, which is read if it is there.
    """

    file: object

    def __post_init__(self):
        self.rows = []
        if self.file.is_file():
            with self.file.open(newline="", encoding="utf-8") as stream:
                self.rows = list(csv.DictReader(stream))

    def find(self, key):
        """Returns the row whose first columns are `key`, or `None`."""
        wanted = {name: str(value) for name, value in key.items()}
        found = (row for row in self.rows if wanted.items() <= row.items())
        return next(found, None)

    def add(self, key, run):
        """Appends a row to the file and returns it."""
        values = {name: f"{run[name]:.6g}" for name in OF_RUN}
        row = {name: str(value) for name, value in (key | values).items()}
        is_new = not self.file.is_file()
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, (*KEY, *OF_RUN), lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        self.rows.append(row)
        return row


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
