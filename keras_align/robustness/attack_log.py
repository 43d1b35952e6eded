"""Attacked examples in a file, so that a run that was interrupted goes on."""

import json
import pathlib
from typing import Any

import numpy as np

from keras_align.robustness.worded_text import Text

RESULTS = "failed", "succeeded", "skipped"  # skipped: wrong before
EXAMPLE = {"index", "text", "label", "result", "perturbed", "predicted", "queries"}


class AttackLog:
    """The examples in a file of JSON lines; the first line has the settings.

    Args:
        path: path of the file, or `None` for no file.
        settings: dict, what the results depend on.
        answers: dict of lists, what the model (lists of float) and callables of the
            attack (float or str) say of each of the first texts, by which others are
            told.
    """

    def __init__(
        self, path: Any, settings: dict[str, Any], answers: dict[str, list]
    ) -> None:
        self.path = None if path is None else pathlib.Path(path)
        self.examples: dict[int, dict[str, Any]] = {}
        if self.path is None:
            return
        header = json.loads(json.dumps({**settings, **answers}))
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = _parsed(whole, self.path)
        if lines:
            self._check(lines[0], header, answers)
        elif not _line(header).startswith(content):
            self._refuse(header, content[:80])
        if whole != content:  # a line that was cut off
            self.path.write_bytes(whole)
        if not lines:
            _append(self.path, header)
        self.examples = {example["index"]: example for example in lines[1:]}

    def _check(self, found: Any, header: dict[str, Any], answers: Any) -> None:
        found = dict(found)
        was = {name: found.pop(name, []) for name in answers}
        settings = {name: x for name, x in header.items() if name not in answers}
        if found != settings:
            self._refuse(settings, found)
        for name, now in answers.items():
            both = min(len(was[name]), len(now))  # there may be more texts than before
            if not both or not _are_close(was[name][:both], now[:both]):
                raise ValueError(
                    "Argument `log` must be a new file, or of the same model, texts "
                    f"and attack, whose {name} of the first texts are {now}. "
                    f"Received: {self.path} with {was[name]}"
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


def _are_close(one, other):
    if any(isinstance(each, str) for each in (*one, *other)):
        return one == other
    same = np.shape(one) == np.shape(other)
    return same and np.allclose(one, other, rtol=0.0, atol=1e-4)


def _parsed(content, path):
    """What lines of bytes hold: settings, and then examples."""
    parsed: list[dict[str, Any]] = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            parsed.append(_parsed_line(line, f"{path}, line {number}", bool(parsed)))
    return parsed


def _parsed_line(line, place, is_example):
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(
            f"Argument `log` must be a file of JSON lines. Received: {place}: {error}"
        ) from error
    whole = isinstance(found, dict)
    if whole and is_example:
        whole = found.keys() >= EXAMPLE and found["result"] in RESULTS
    if not whole:
        raise ValueError(
            "Argument `log` must have the settings in its first line, and examples "
            f"with {sorted(EXAMPLE)} in the others. Received: {place}: {found!r:.200}"
        )
    return found
