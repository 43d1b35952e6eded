"""A CSV file of records, to which resumed runs append."""

import csv
import io
import os
import pathlib
from collections.abc import Iterable
from typing import Any

COLUMNS = ("step", "epoch", "layer", "head", "quantity", "value")
Record = dict[str, Any]


class RecordsFile:
    """Records in the order of their steps, every step once.

    Args:
        path: string or path of the file; its folder is made if needed.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path, self._last = pathlib.Path(path).absolute(), -1

    def check(self) -> None:
        """Raises unless the file can be written and, if it exists, is such a file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+", encoding="utf-8", newline="") as file:
                file.seek(0)
                head = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise OSError(
                f"AlignmentMonitor cannot write the file of `csv_path`: {error}. "
                f"Received: csv_path={str(self.path)!r}"
            ) from error
        if head not in ("", ",".join(COLUMNS)):
            raise ValueError(
                "Argument `csv_path` must be a new file, or one that AlignmentMonitor "
                f"wrote. Received: csv_path={str(self.path)!r}, which begins with "
                f"{head[:60]!r}"
            )

    def begin(self, step: int, is_resumed: bool) -> None:
        """Begins a run after so many steps.

        A run that is resumed keeps the records up to its step; what was recorded later
        is trained again. A new run replaces the file.
        """
        rows = self._rows() if is_resumed else []
        if step:
            rows = [row for row in rows if int(row[0]) <= step]
        # A run whose optimizer begins anew has steps that are recorded already.
        self._last = max((int(row[0]) for row in rows), default=-1) if step else -1
        partial = self.path.with_name(self.path.name + ".part")
        partial.write_text(_text([COLUMNS, *rows]), encoding="utf-8", newline="")
        os.replace(partial, self.path)

    def write(self, records: Iterable[Record]) -> None:
        """Appends the records of later steps than those of the file."""
        rows = [
            ["" if record[name] is None else record[name] for name in COLUMNS]
            for record in records
            if record["step"] > self._last
        ]
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_text(rows))

    def _rows(self):
        """The rows below the head; a last one that was not written whole is left."""
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return list(csv.reader(io.StringIO(whole)))[1:]


def _text(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
