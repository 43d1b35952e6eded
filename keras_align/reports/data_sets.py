"""Reading of the argument `data` of a report."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops, tree

LONGEST = 600  # characters of a sample that are shown
ONE = "data"  # the title of data that were given without one


@dataclass(frozen=True)
class DataSet:
    """Samples of one domain.

    Attributes:
        title: string.
        inputs: nested structure of arrays, samples along the first axis.
        labels: int array `(n,)`, or `None`.
        shown: list of strings, how samples are shown, or `None` for their numbers.
    """

    title: str
    inputs: Any
    labels: np.ndarray | None
    shown: list[str] | None

    def __len__(self) -> int:
        return len(tree.flatten(self.inputs)[0])

    def some(self, count: int, seed: int) -> Any:
        """The inputs of samples that are drawn at random, in their order."""
        if count >= len(self):
            return self.inputs
        drawn = np.random.default_rng(seed).choice(len(self), count, replace=False)
        rows = np.sort(drawn)
        return tree.map_structure(lambda x: np.asarray(x)[rows], self.inputs)

    @property
    def digest(self) -> str:
        """A digest of inputs and labels."""
        found = hashlib.sha256()
        for leaf in (*tree.flatten(self.inputs), self.labels):
            array = np.asarray(leaf)
            if array.dtype.kind == "O":
                array = np.array([str(x) for x in array.reshape(-1)])
            found.update(f"{array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def read(data: Any) -> list[DataSet]:
    """Returns the data sets of `data`, as `report` describes them.

    Args:
        data: tuple `(inputs, labels)` or `(inputs, labels, shown)`, or a dictionary
            from titles to such tuples.
    """
    if not isinstance(data, Mapping):
        return [_read_one(ONE, data)]
    if not data:
        raise ValueError("Argument `data` must hold samples. Received: data={}")
    return [_read_one(title, entry) for title, entry in data.items()]


def _read_one(title, entry):
    if not isinstance(entry, tuple) or len(entry) not in (2, 3):
        raise ValueError(
            "Argument `data` must be a tuple (inputs, labels) or (inputs, labels, "
            "shown), or a dictionary from titles to such tuples; labels may be None. "
            f"Received: {title!r}: {type(entry).__name__}"
        )
    inputs, labels, shown = (*entry, None)[:3]
    inputs = _arrays(inputs)
    if not all(np.ndim(leaf) for leaf in tree.flatten(inputs)):
        raise ValueError(
            "Argument `data` must hold arrays with samples along the first axis, or "
            f"lists of strings. Received: {title!r} with inputs={inputs!r:.60}"
        )
    sizes = {len(leaf) for leaf in tree.flatten(inputs)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            "Argument `data` must hold arrays of equally many samples, at least one. "
            f"Received: {title!r} with arrays of {sorted(sizes)} samples"
        )
    count = sizes.pop()
    labels = None if labels is None else _labels(title, labels, count)
    return DataSet(str(title), inputs, labels, _shown(title, shown, inputs, count))


def _arrays(inputs):
    """Inputs whose lists of strings are arrays."""
    if _is_texts(inputs):
        return np.array(inputs, dtype=object)
    if isinstance(inputs, tuple) and all(map(_is_texts, inputs)):
        return tuple(np.array(each, dtype=object) for each in inputs)
    return tree.map_structure(
        lambda x: x if hasattr(x, "shape") else np.asarray(x), inputs
    )


def _is_texts(inputs):
    is_list = isinstance(inputs, list | tuple)
    return is_list and bool(inputs) and all(isinstance(x, str) for x in inputs)


def _labels(title, labels, count):
    labels = np.asarray(labels if _is_plain(labels) else ops.convert_to_numpy(labels))
    if _is_one_hot(labels):
        labels = labels.argmax(-1)
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    whole = labels.dtype.kind in "biuf" and np.all(labels == np.floor(labels))
    if labels.shape != (count,) or not whole or labels.min() < 0:
        raise ValueError(
            f"Argument `data` must hold {count} labels of {title!r}, each a class from "
            "0 on, as integers or one-hot. Received: labels of the shape "
            f"{labels.shape}, such as {labels.reshape(-1)[:3].tolist()}"
        )
    return labels.astype(int)


def _is_plain(labels):
    return isinstance(labels, list | tuple | dict | np.ndarray)


def _is_one_hot(labels):
    several = labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf"
    return several and bool(np.all(np.isin(labels, (0, 1)).all(-1) & _one(labels)))


def _one(labels):
    return labels.sum(-1) == 1


def _shown(title, shown, inputs, count):
    """How samples are shown: texts are shown by themselves."""
    if shown is None:
        leaves = tree.flatten(inputs)
        if not all(np.asarray(leaf[:1]).dtype.kind in "OSU" for leaf in leaves):
            return None
        rows = zip(*leaves, strict=True)
        return [_cut(" | ".join(map(_text, row))) for row in rows]
    shown = [_cut(str(text)) for text in shown]
    if len(shown) != count:
        raise ValueError(
            f"Argument `data` must hold a text for each of the {count} samples of "
            f"{title!r}. Received: {len(shown)} texts"
        )
    return shown


def _cut(text):
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
