"""The factor of the divergence in the training loss."""

import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals
from keras_align.alignments import Alignment
from keras_align.divergences.numerics import Tensor
from keras_align.keras_internals import UnsavedState


class AlignmentWeight:
    """A number that takes effect when it is changed, or a variable of the user.

    Args:
        value: float >= 0 or scalar `keras.Variable`, see `check_weight`.

    Attributes:
        variable: the `keras.Variable` of the user, or `None`.
        state: `UnsavedState` that holds the number, so that a compiled step sees a
            later one.
    """

    def __init__(self, value: float | keras.Variable) -> None:
        self.variable = value if isinstance(value, keras.Variable) else None
        self._number = value if self.variable is None else 0.0
        self.state = UnsavedState(self._number, "alignment_weight")

    @property
    def value(self) -> float | keras.Variable:
        """The number, or the variable of the user."""
        return self.number if self.variable is None else self.variable

    @property
    def number(self) -> float:
        """The weight as a float."""
        if self.variable is not None:
            return float(ops.convert_to_numpy(self.variable))
        if np.float32(self._number) == (held := ops.convert_to_numpy(self.state.state)):
            return self._number  # as it was given, not as float32
        return float(held)

    def set(self, value: float | keras.Variable) -> None:
        """Changes the number or the variable."""
        self.variable = value if isinstance(value, keras.Variable) else None
        if self.variable is None:
            self._number = value
            self.state.state.assign(value)

    def tensor(self) -> Tensor:
        """The weight as a float32 scalar."""
        source = self.state.state if self.variable is None else self.variable
        return ops.cast(source, "float32")


def check_weight(weight: Any, alignment: Alignment | None) -> float | keras.Variable:
    """Returns the weight to use, the alignment's default for `None`, or raises."""
    if weight is None:
        return (alignment or Alignment).default_weight
    is_scalar = isinstance(weight, keras.Variable) and tuple(weight.shape) == ()
    if is_scalar and (keras_internals.is_traced() or ops.convert_to_numpy(weight) >= 0):
        return weight
    is_number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
    if is_number and 0.0 <= weight <= float(np.finfo("float32").max):
        return float(weight)
    raise ValueError(
        "Argument `alignment_weight` must be a finite float32 number >= 0, a scalar "
        f"keras.Variable or None. Received: alignment_weight={weight!r}"
    )
