"""Runs in a CSV file, so that a comparison that was stopped goes on."""

import csv
import dataclasses
import math


@dataclasses.dataclass
class Runs:
    """The rows of a CSV file.

    A last row that was cut off, as by a full disk, is left out and removed.

    Args:
        file: `pathlib.Path`, which is read if it is there.
        key: Tuple of strings, the columns that name a run.
        of_run: Tuple of strings, the columns of numbers that a run gives.

    Raises:
        ValueError: If the file has other columns, or a row that is none of theirs.
    """

    file: object
    key: tuple
    of_run: tuple

    def __post_init__(self):
        self.rows, self.columns = [], (*self.key, *self.of_run)
        text = self.file.read_text("utf-8-sig", "replace") if self.file.exists() else ""
        if not text:
            return
        header, *lines = text.split("\n")[:-1] or [""]
        if self._cells(1, header) != list(self.columns):
            raise ValueError(
                f"{self.file} must have the columns {','.join(self.columns)}. "
                f"Received: {header:.200}; choose another --output"
            )
        self.rows = [self._row(n, line) for n, line in enumerate(lines, 2)]
        if not text.endswith("\n"):
            self._rewrite()

    def _cells(self, number, line):
        try:
            (cells,) = csv.reader([line], strict=True)
        except (ValueError, csv.Error) as error:
            raise ValueError(
                f"{self.file}, line {number}: expected a row of CSV. Received: "
                f"{line:.200} ({error})"
            ) from error
        return cells

    def _row(self, number, line):
        cells = self._cells(number, line)
        if len(cells) != len(self.columns):
            raise ValueError(
                f"{self.file}, line {number}: expected {len(self.columns)} cells. "
                f"Received: {len(cells)}, {line:.200}"
            )
        row = dict(zip(self.columns, cells, strict=True))
        for column in self.of_run:
            self._check_number(number, column, row[column])
        return row

    def _check_number(self, number, column, cell):
        try:
            float(cell)
        except ValueError:
            raise ValueError(
                f"{self.file}, line {number}, column {column}: expected a number. "
                f"Received: {cell!r}"
            ) from None

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
