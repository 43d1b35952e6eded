"""Runs in a CSV file, so that a comparison that was stopped goes on; their table."""

import csv
import dataclasses

import comparing
import numpy as np

KEY = ("dataset", "scoring", "split", "method", "weight", "seed", "epochs", "patience")
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
    titles = list(by_method)
    lines = [["", *titles, *(f"{title} - {titles[0]}" for title in titles[1:])]]
    for name, title in TITLES.items():
        factor, digits = (100.0, 2) if title.endswith("%") else (1.0, 3)
        values = [
            factor * np.array([float(row[name]) for row in rows])
            for rows in by_method.values()
        ]
        cells = [spread(each, digits) for each in values]
        differences = [each - values[0] for each in values[1:]]
        cells += [in_words(each, digits) for each in differences]
        lines.append([title, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [
                cell.rjust(width)
                for cell, width in zip(line[1:], widths[1:], strict=True)
            ]
        ).rstrip()
        for line in lines
    )


def spread(values, digits):
    """Returns mean and standard deviation in words."""
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def in_words(differences, digits):
    """Returns the mean of differences with its 95% interval."""
    low, high = comparing.t_interval(differences)
    mean = f"{np.mean(differences):+.{digits}f}"
    return f"{mean} [{low:+.{digits}f}, {high:+.{digits}f}]"
