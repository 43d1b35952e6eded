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
        answer: list of float, what the model says of the first text, by which another
            model is told.
    """

    def __init__(
        self, path: Any, settings: dict[str, Any], answer: list[float]
    ) -> None:
        self.path = None if path is None else pathlib.Path(path)
        self.examples: dict[int, dict[str, Any]] = {}
        if self.path is None:
            return
        lines = _whole_lines(self.path)
        if not lines:
            _append(self.path, {**settings, "answer": answer})
        else:
            self._check(lines[0], settings, answer)
        self.examples = {example["index"]: example for example in lines[1:]}

    def _check(self, first: Any, settings: dict, answer: list[float]) -> None:
        was = first.pop("answer", []) if isinstance(first, dict) else []
        if first != json.loads(json.dumps(settings)):
            raise ValueError(
                f"Argument `log` must be a new file, or of the settings {settings}. "
                f"Received: {self.path} with {first}"
            )
        if np.shape(was) != np.shape(answer) or not np.allclose(was, answer, atol=1e-3):
            raise ValueError(
                "Argument `log` must be a new file, or of the same model, which says "
                f"{answer} of the first text. Received: {self.path} with {was}"
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


def _append(path, line):
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def _whole_lines(path):
    """What the lines hold; one that was cut off is removed from the file."""
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, "utf-8")
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise ValueError(
            f"Argument `log` must be a file of JSON lines. Received: {path}, {error}"
        ) from error
