"""Curves of what training logged, from histories, dictionaries and records."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PREFIX = "alignment/"  # of quantities that were recorded, as in the logs


@dataclass(frozen=True)
class Curve:
    """Numbers over epochs or steps, not finite where there is a gap.

    Attributes:
        x: float array, ascending, of epochs or steps.
        y: float array of the same shape, NaN for what is not finite.
        spread: pair of arrays, the lowest and highest of what `y` is the mean of, or
            `None`.
    """

    x: np.ndarray
    y: np.ndarray
    spread: tuple[np.ndarray, np.ndarray] | None = None


def read_runs(history: Any) -> dict[str, Any]:
    """Returns what each run logged, by its title, which is "" for one run alone.

    A run is a dictionary from names to arrays with the epochs of all of them under
    `None`, or a list of records.
    """
    if not isinstance(history, dict) or _holds_numbers(history):
        return {"": _read_run("history", history)}
    if not history:
        raise ValueError(
            "Argument `history` must hold something that was logged. Received: {}"
        )
    return {
        str(title): _read_run(f"history[{title!r}]", run)
        for title, run in history.items()
    }


def _read_run(name, run):
    records = run if isinstance(run, list) else getattr(run, "records", None)
    if records is not None:
        return _check_records(name, records)
    epochs = getattr(run, "epoch", None)
    logged = getattr(run, "history", run)
    if not isinstance(logged, dict) or not _holds_numbers(logged):
        raise ValueError(
            "Argument `history` must be a `keras.callbacks.History`, a dictionary from "
            "names to lists of numbers, an `AlignmentMonitor`, or a dictionary from "
            f"titles to these. Received: {name} of type {type(run).__name__}"
        )
    logged = {key: _finite(values) for key, values in logged.items()}
    longest = max(map(len, logged.values()), default=0)
    if not longest:
        raise ValueError(
            "Argument `history` must hold something that was logged. "
            f"Received: {name} without a number"
        )
    matches = epochs is not None and len(epochs) == longest
    epochs = np.array(epochs if matches else range(longest), "float64")
    return {None: epochs + 1, **logged}


def _holds_numbers(logged):
    """Whether a dictionary goes from names to lists of numbers."""
    return bool(logged) and all(
        isinstance(values, (Sequence, np.ndarray))
        and not isinstance(values, str)
        and all(_is_scalar(value) for value in values)
        for values in logged.values()
    )


def _is_scalar(value):
    return isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()


def _finite(values):
    """Returns a float array in which what is not finite is NaN."""
    values = np.array([float(value) for value in values], "float64")
    return np.where(np.isfinite(values), values, np.nan)


def _check_records(name, records):
    needed = {"step", "epoch", "layer", "quantity", "value"}
    if not records or not all(
        isinstance(record, dict) and needed <= set(record) for record in records
    ):
        raise ValueError(
            "Argument `history`: records must be dictionaries with "
            f"{sorted(needed)}, at least one. Received: {name} with "
            f"{records[0] if records else 'no record'}"
        )
    return records


def has_steps(run: Any) -> bool:
    """Whether a run is of records, of which some epoch has more than one step."""
    if not isinstance(run, list):
        return False
    steps = {(record["epoch"], record["step"]) for record in run}
    return len(steps) > len({epoch for epoch, _ in steps})


def curves_of_run(run: Any, axis: str, by_layer: bool) -> dict[str, dict[str, Curve]]:
    """Returns curves by quantity and label.

    Args:
        run: what `read_runs` returned for a run.
        axis: `"epoch"` or `"step"`, which of the two the curves are over.
        by_layer: bool, whether records give a curve for every layer, labelled with its
            name; otherwise the mean of the layers.
    """
    if isinstance(run, list):
        return _curves_of_records(run, axis, by_layer)
    if axis == "step":
        raise ValueError(
            "Argument `axis` may be 'step' only for an `AlignmentMonitor`. "
            "Received: axis='step' and a history of epochs"
        )
    epochs = run[None]
    return {
        name: {"": Curve(_some_of(epochs, len(values)), values)}
        for name, values in run.items()
        if name is not None and len(values)
    }


def _some_of(epochs, count):
    """The epochs of shorter lists: those that `validation_freq` divides, if it fits."""
    for frequency in range(1, len(epochs) + 1):
        chosen = epochs[epochs % frequency == 0]
        if len(chosen) == count:
            return chosen
    step = len(epochs) // count
    return epochs[step - 1 :: step][:count]


def _curves_of_records(records, axis, by_layer):
    found: dict = {}
    for record in records:
        layer = "" if record["layer"] is None else str(record["layer"])
        of_layers = found.setdefault(f"{PREFIX}{record['quantity']}", {})
        of_layers.setdefault(layer, []).append(record)
    curves = {
        quantity: {layer: _curve_of_layer(rows, axis) for layer, rows in each.items()}
        for quantity, each in found.items()
    }
    if by_layer:
        return curves
    return {name: {"": _mean(list(each.values()))} for name, each in curves.items()}


def _curve_of_layer(records, axis):
    """What was recorded of a layer, or if only of its heads, the mean of these.

    Of an epoch it is the first step, which is when so many epochs were finished.
    """
    whole = [record for record in records if not _is_of_head(record)] or records
    places: dict = {}
    for record in whole:
        of_steps = places.setdefault(record[axis], {})
        of_steps.setdefault(record["step"], []).append(record["value"])
    x = sorted(places)
    y = [np.mean(_finite(places[place][min(places[place])])) for place in x]
    return Curve(np.array(x, "float64"), np.array(y))


def _is_of_head(record):
    head = record.get("head")
    return head is not None and head == head  # NaN where a table has no number


def _mean(curves):
    """The mean of curves, where all have a number, with their lowest and highest."""
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    values = np.full((len(curves), len(x)), np.nan)
    for row, curve in zip(values, curves, strict=True):
        row[np.searchsorted(x, curve.x)] = curve.y
    return Curve(x, values.mean(0), (values.min(0), values.max(0)))
