"""Batches no larger than they need be, of few shapes."""

from typing import Any

import numpy as np
from keras import ops, tree

_SMALLEST = 4  # samples of a batch
_SHORTEST = 16  # tokens


def in_batches(texts: list, batch_size: int) -> list[list]:
    """Splits texts into batches; the last is filled up to a power of two."""
    batches = [texts[k : k + batch_size] for k in range(0, len(texts), batch_size)]
    size = _SMALLEST
    while size < len(batches[-1]):
        size *= 2
    batches[-1] += [texts[-1]] * (min(size, batch_size) - len(batches[-1]))
    return batches


def arrays(inputs: Any) -> Any:
    """Inputs of a model as NumPy arrays."""
    return tree.map_structure(ops.convert_to_numpy, inputs)


def takes_any_length(model: Any) -> bool:
    """Whether a model has an input "padding_mask" without a fixed length."""
    inputs = getattr(model, "input", None) if model.built else None
    if not isinstance(inputs, dict) or "padding_mask" not in inputs:
        return False
    return inputs["padding_mask"].shape[1:] == (None,)


def cut_padding(inputs: Any) -> Any:
    """Leaves out padding behind the longest text of a batch, up to one of few lengths.

    Args:
        inputs: inputs of a model; if they are a dictionary with "padding_mask", its
            arrays of the shape of the mask are cut.
    """
    mask = inputs.get("padding_mask") if isinstance(inputs, dict) else None
    if mask is None or mask.ndim != 2:
        return inputs
    used = np.flatnonzero(mask.any(axis=0))
    end = _few(used[-1] + 1 if len(used) else 1)
    return {
        name: each[:, :end] if each.shape == mask.shape else each
        for name, each in inputs.items()
    }


def _few(length):
    """The next of 16, 24, 32, 48, 64, 96 and so on."""
    end = _SHORTEST
    while end < length:
        end = end * 3 // 2 if end & (end - 1) == 0 else end * 4 // 3
    return end
