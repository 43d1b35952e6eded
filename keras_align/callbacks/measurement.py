"""What was measured at one step, as records and as logs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_align.callbacks.attention_sample import Measured

SUMMED = "mmd", "matched_mmd"  # over heads and layers; all others are means
TOTALS: dict[str, tuple[str, Callable[[list[float]], Any]]] = {
    "total_mmd": ("mmd", np.sum),
    "total_matched_mmd": ("matched_mmd", np.sum),
    "mean_entropy": ("entropy", np.mean),
}


class Measurement:
    """Values of layers and heads at one step.

    Args:
        step: int, batches that the model was trained on.
        epoch: int, epochs that were finished.
        measured: what `AttentionSample.measure` returned, and losses.
        names: dict from the path of a layer to its name. Its later calls, `path@2`,
            have the names `name@2`.
    """

    def __init__(
        self, step: int, epoch: int, measured: Measured, names: dict[str, str]
    ) -> None:
        self.step, self.epoch = step, epoch
        self.values = {
            (_name_of(path, names), quantity): np.asarray(value, "float64")
            for (path, quantity), value in measured.items()
        }

    def of_layers(self) -> Iterator[tuple[str, str, float]]:
        """Yields name, quantity and value of each layer."""
        for (name, quantity), value in self.values.items():
            total = value.sum() if quantity in SUMMED else value.mean()
            yield name, quantity, float(total)

    def of_heads(self) -> Iterator[tuple[str, str, int, float]]:
        """Yields name, quantity, head and value of each head."""
        for (name, quantity), value in self.values.items():
            for head, number in enumerate(value if value.ndim else ()):
                yield name, quantity, head, float(number)

    def records(self, per_head: bool) -> list[dict[str, Any]]:
        """List of dicts, see `AlignmentMonitor`."""

        def record(layer, quantity, head, value):
            where = {"step": self.step, "epoch": self.epoch, "layer": layer}
            return {**where, "head": head, "quantity": quantity, "value": value}

        found = [record(x, quantity, None, y) for x, quantity, y in self.of_layers()]
        if per_head:
            found += [record(*each) for each in self.of_heads()]
        return found

    def logs(self, prefix: str, per_layer: bool) -> dict[str, float]:
        """Dict of the totals, and of the values of the layers if asked to."""
        layers = list(self.of_layers())
        logs = {}
        for key, (quantity, total) in TOTALS.items():
            values = [value for _, each, value in layers if each == quantity]
            if values:
                logs[f"{prefix}/{key}"] = float(total(values))
        if per_layer:
            logs |= {f"{prefix}/{x}/{quantity}": y for x, quantity, y in layers}
        return logs

    def heads_of(self, quantity: str) -> dict[str, np.ndarray]:
        """From the names of the layers to the values of their heads `(N,)`."""
        return {
            name: value
            for (name, each), value in self.values.items()
            if each == quantity
        }


def _name_of(path, names):
    if path in names:
        return names[path]
    of_layer, _, call = path.rpartition("@")
    return f"{names[of_layer]}@{call}"
