"""Whether a model still computes what it did."""

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_align import keras_internals

# Largest change relative to the largest output. Rounding stays below it, by far as a
# rule; an attention that does not have the symmetry that its adapter names does not.
_LIMIT, _LIMIT_OF_HALF = 1e-3, 0.1


class UnchangedOutputs:
    """Compares the outputs of a model with those at first.

    Args:
        model: `keras.Model` or layer.
        inputs: its inputs, few samples.

    Attributes:
        can_tell: bool, whether there is a float output that is the same in two calls.
        change: float, largest of the last comparison, relative to the largest output.
    """

    def __init__(self, model: keras.layers.Layer, inputs: Any) -> None:
        self.model, self.inputs = model, inputs
        layers = keras_internals.flattened(model)
        half = any(x.compute_dtype in ("bfloat16", "float16") for x in layers)
        self._limit = _LIMIT_OF_HALF if half else _LIMIT
        self.change = 0.0
        self._before = self._outputs()
        again = self._outputs()
        pairs = zip(self._before, again, strict=True)
        self._repeats = [_change(a, b) <= self._limit for a, b in pairs]
        self.can_tell = any(self._repeats)

    def __call__(self) -> bool:
        """Whether the outputs that can tell are those at first, up to rounding."""
        triples = zip(self._before, self._outputs(), self._repeats, strict=True)
        changes = [_change(a, b) for a, b, repeats in triples if repeats]
        self.change = max(changes, default=0.0)
        return self.change <= self._limit

    @property
    def reason(self) -> str:
        """Why a layer is left that changed the outputs."""
        return (
            f"the outputs would change by {self.change:.1e} of the largest: it has "
            "other symmetries than its adapter says, or the model amplifies rounding"
        )

    def _outputs(self):
        outputs = tree.flatten(self.model(self.inputs, training=False))
        dtypes = [keras.backend.standardize_dtype(x.dtype) for x in outputs]
        return [
            ops.convert_to_numpy(ops.cast(x, "float32"))
            for x, dtype in zip(outputs, dtypes, strict=True)
            if keras.backend.is_float_dtype(dtype) and 0 not in x.shape
        ]


def _change(before, now):
    """Largest change relative to the largest output; infinite if finiteness changed."""
    finite = np.isfinite(before)
    if not np.array_equal(finite, np.isfinite(now)) or not finite.any():
        return np.inf
    before, now = before[finite], now[finite]
    change, size = np.max(np.abs(now - before)), np.max(np.abs(before))
    if not size:
        return np.inf if change else 0.0
    return float(change / size)
