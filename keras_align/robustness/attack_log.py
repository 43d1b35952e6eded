"""Attacked examples in a file, so that a run that was interrupted goes on."""

import json
import pathlib
from typing import Any

import numpy as np

from keras_align.robustness.worded_text import Text


class AttackLog:
    """The examples in a file of JSON lines; the first line has the settings.

    Args:
        path: path of the file, or `None` for no file.
        settings: dict, what the results depend on.
        answers: list of lists of float, what the model says of the first texts, by
            which another model is told.
    """

    def __init__(
        self, path: Any, settings: dict[str, Any], answers: list[list[float]]
    ) -> None:
        self.path = None if path is None else pathlib.Path(path)
        self.examples: dict[int, dict[str, Any]] = {}
        if self.path is None:
            return
        header = json.loads(json.dumps({**settings, "answers": answers}))
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = _parsed(whole, self.path)
        if lines:
            self._check(lines[0], header)
        elif not _line(header).startswith(content):
            self._refuse(header, content[:80])
        if whole != content:  # a line that was cut off
            self.path.write_bytes(whole)
        if not lines:
            _append(self.path, header)
        self.examples = {example["index"]: example for example in lines[1:]}

    def _check(self, found: Any, header: dict[str, Any]) -> None:
        was = found.pop("answers", []) if isinstance(found, dict) else []
        settings = {name: x for name, x in header.items() if name != "answers"}
        if found != settings:
            self._refuse(settings, found)
        answers = header["answers"]
        same = np.shape(was) == np.shape(answers)
        if not same or not np.allclose(was, answers, rtol=0.0, atol=1e-4):
            raise ValueError(
                "Argument `log` must be a new file, or of the same model and texts, of "
                f"the first of which it says {answers}. Received: {self.path} with "
                f"{was}"
            )

    def _refuse(self, settings, found):
        raise ValueError(
            f"Argument `log` must be a new file, or of the settings {settings}. "
            f"Received: {self.path} with {found!r}"
        )

    def find(self, key: dict[str, Any]) -> dict[str, Any] | None:
        """The example of a key, or `None` if it was not attacked yet."""
        example = self.examples.get(key["index"])
        if example is not None and not key.items() <= example.items():
            raise ValueError(
                f"Argument `log` must be of the same texts and labels. Received: "
                f"{self.path}, which has another example {key['index']}"
            )
        return example

    def add(self, example: dict[str, Any]) -> None:
        """Writes an example at once."""
        if self.path is not None:
            _append(self.path, example)


def plain(text: Text) -> str | list[str]:
    """A text as JSON holds it."""
    return text if isinstance(text, str) else list(text)


def _line(line):
    return (json.dumps(line) + "\n").encode()


def _append(path, line):
    with path.open("ab") as stream:
        stream.write(_line(line))


def _parsed(content, path):
    """What lines of bytes hold."""
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError as error:
        raise ValueError(
            f"Argument `log` must be a file of JSON lines. Received: {path}, {error}"
        ) from error
