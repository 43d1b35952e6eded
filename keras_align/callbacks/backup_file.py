"""The file of a backup."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
from typing import Any

import numpy as np

from keras_align.callbacks.position import Position


class BackupFile:
    """A position and named arrays in one file that is replaced atomically.

    While a new file is written, the last complete one stays. The file is an archive of
    NumPy (`.npz`), followed by the SHA-256 of all its bytes.

    Args:
        folder: string or path.
    """

    NAME, PARTIAL = "backup.npz", ".part"
    DIGEST = hashlib.sha256().digest_size

    def __init__(self, folder: str | os.PathLike):
        self.path = pathlib.Path(folder).absolute() / self.NAME

    def kept(self) -> str:
        """A sentence for messages about a backup that was not written."""
        return " The last good backup is kept." if self.path.exists() else ""

    def write(self, position: Position, values: dict[str, np.ndarray]) -> None:
        """Replaces the file."""
        text = np.array(json.dumps(dataclasses.asdict(position)))
        arrays: dict[str, Any] = {"position": text, **values}
        partial = self.path.with_name(self.NAME + self.PARTIAL)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w+b") as file:
                np.savez(file, **arrays)
                file.seek(0)
                file.write(hashlib.file_digest(file, "sha256").digest())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"BackupAndResume cannot write a backup: {error.strerror}."
                + self.kept(),
                str(self.path.parent),
            ) from error

    def read(self) -> tuple[Position | None, dict[str, np.ndarray]]:
        """Returns position and arrays; `None` and an empty dict if there is no file."""
        if not self.path.exists():
            return None, {}
        try:
            content = self.path.read_bytes()
            archive = memoryview(content)[: -self.DIGEST]
            if hashlib.sha256(archive).digest() != content[-self.DIGEST :]:
                raise OSError("it is damaged, or was not written by this version")
        except OSError as error:
            raise OSError(
                f"BackupAndResume cannot read {self.path}: {error}. Delete it, or take "
                "another `backup_dir`, to start anew."
            ) from error
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            values = dict(archive)
        return Position(**json.loads(str(values.pop("position")))), values

    def delete(self) -> None:
        """Deletes the file if there is one."""
        self.path.unlink(missing_ok=True)

    def delete_partial(self) -> None:
        """Deletes what processes left that were killed while they wrote."""
        for partial in self.path.parent.glob(f"{self.NAME}*{self.PARTIAL}"):
            partial.unlink(missing_ok=True)
