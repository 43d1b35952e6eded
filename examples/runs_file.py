"""Runs in a CSV file, so that a comparison that was stopped goes on."""

import csv
import dataclasses
import math


@dataclasses.dataclass
class Runs:
    """The rows of a CSV file.

    Rows that were cut off, as by a full disk, are left out and removed.

    Args:
        file: `pathlib.Path`, which is read if it is there.
        key: Tuple of strings, the columns that name a run.
        of_run: Tuple of strings, the columns of numbers that a run gives.

    Raises:
        ValueError: If the file has other columns.
    """

    file: object
    key: tuple
    of_run: tuple

    def __post_init__(self):
        self.rows, self.columns = [], (*self.key, *self.of_run)
        text = self.file.read_text("utf-8", "replace") if self.file.exists() else ""
        if not text:
            return
        lines = text[: text.rfind("\n") + 1].splitlines()
        header, *rows = map(tuple, csv.reader(lines or [""]))
        if header != self.columns:
            raise ValueError(f"{self.file} has other columns: choose another --output")
        kept = [row for row in rows if len(row) == len(self.columns)]
        self.rows = [dict(zip(self.columns, row, strict=True)) for row in kept]
        if len(kept) < len(rows) or not text.endswith("\n"):
            self._rewrite()

    def find(self, key):
        """Returns the row whose first columns are `key`, or `None`."""
        wanted = {name: str(value) for name, value in key.items()}
        found = (row for row in self.rows if wanted.items() <= row.items())
        return next(found, None)

    def add(self, key, run):
        """Appends a row to the file and returns it; NaN for numbers it does not have.

        Args:
            key: Dictionary of the columns that name the run.
            run: Dictionary of floats.
        """
        values = {name: f"{run.get(name, math.nan):.6g}" for name in self.of_run}
        row = {name: str(value) for name, value in (key | values).items()}
        self.rows.append(row)
        if not self.file.exists() or not self.file.stat().st_size:
            self._rewrite()
            return row
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self.columns, lineterminator="\n").writerow(row)
        return row

    def _rewrite(self):
        """Writes all rows, to a new file that takes the place of the old."""
        new = self.file.with_suffix(".new")
        with new.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        new.replace(self.file)
