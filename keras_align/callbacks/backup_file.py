"""The file of a backup."""

import contextlib
import json
import os
import pathlib
import zipfile

import numpy as np


class BackupFile:
    """Named arrays and a position in one file that is replaced at once.

    Whatever happens while it is written, the last whole file stays.

    Args:
        folder: string or path.
    """

    NAME, PART = "backup.npz", ".part"
    # Batches read since the iterator began, and batches of the data, -1 if unknown.
    POSITION = "epoch", "batch", "read", "length"

    def __init__(self, folder):
        self.path = pathlib.Path(folder).absolute() / self.NAME

    def kept(self):
        """A sentence for messages about a backup that was not written."""
        return " The last good backup is kept." if self.path.exists() else ""

    def write(self, position, values):
        """Writes a position (ints in the order of `POSITION`) and a dict of arrays."""
        position = json.dumps(dict(zip(self.POSITION, position, strict=True)))
        part = self.path.with_name(self.NAME + self.PART)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, position=np.array(position), **values)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"BackupAndResume cannot write a backup: {error.strerror}."
                + self.kept(),
                str(self.path.parent),
            ) from error

    def read(self):
        """Returns position and arrays; `None` and an empty dict if there is no file."""
        if not self.path.exists():
            return None, {}
        try:
            with self.path.open("rb") as file:
                values = np.load(file, allow_pickle=False)
                if not isinstance(values, np.lib.npyio.NpzFile):
                    raise ValueError("it is a single array")
                values = dict(values)
            if not {"position", "random"} <= set(values):
                raise ValueError("it is no backup of this callback")
            position = json.loads(str(values.pop("position")))
            if tuple(position) != self.POSITION:
                raise ValueError(f"it has another position, {position}")
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise OSError(
                f"BackupAndResume cannot read {self.path}: {error}. Delete it to "
                "start anew."
            ) from error
        return position, values

    def delete(self):
        """Deletes the file if there is one."""
        self.path.unlink(missing_ok=True)

    def delete_parts(self):
        """Deletes what processes left that were killed while they wrote."""
        for part in self.path.parent.glob(f"{self.NAME}*{self.PART}"):
            part.unlink(missing_ok=True)
