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
COLUMNS = (*KEY, *OF_RUN)
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

    Rows that were cut off, as by a full disk, are left out and removed.

    Args:
        file: `pathlib.Path`, which is read if it is there.

    Raises:
        ValueError: if the file has other columns.
    """

    file: object

    def __post_init__(self):
        self.rows = []
        text = self.file.read_text("utf-8", "replace") if self.file.exists() else ""
        if not text:
            return
        lines = text[: text.rfind("\n") + 1].splitlines()
        header, *rows = map(tuple, csv.reader(lines or [""]))
        if header != COLUMNS:
            raise ValueError(f"{self.file} has other columns: choose another --output")
        kept = [row for row in rows if len(row) == len(COLUMNS)]
        self.rows = [dict(zip(COLUMNS, row, strict=True)) for row in kept]
        if len(kept) < len(rows) or not text.endswith("\n"):
            self._rewrite()

    def find(self, key):
        """Returns the row whose first columns are `key`, or `None`."""
        wanted = {name: str(value) for name, value in key.items()}
        found = (row for row in self.rows if wanted.items() <= row.items())
        return next(found, None)

    def add(self, key, run):
        """Appends a row to the file and returns it."""
        values = {name: f"{run[name]:.6g}" for name in OF_RUN}
        row = {name: str(value) for name, value in (key | values).items()}
        self.rows.append(row)
        if not self.file.exists() or not self.file.stat().st_size:
            self._rewrite()
            return row
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerow(row)
        return row

    def _rewrite(self):
        """Writes all rows, to a new file that takes the place of the old."""
        new = self.file.with_suffix(".new")
        with new.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        new.replace(self.file)


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
