"""The weights that make queries or keys, by heads, whatever layer holds them."""

import math

import keras
import numpy as np
from keras import ops


class ProjectionWeights:
    """Kernel and bias of a projection as float64 arrays with an axis of heads.

    Args:
        projection: built `Dense` or `EinsumDense`.
        features: int array `(heads, H)`, where the features of each head are among
            the flattened outputs of the projection.

    Raises:
        ValueError: if the projection is another layer, quantized or has LoRA weights.
    """

    def __init__(self, projection: keras.layers.Layer, features: np.ndarray) -> None:
        self.projection, self.features = projection, features
        self.check()
        self._axes, self._inputs = _kernel_axes(projection)
        of_outputs = self._axes[self._inputs :]
        outputs = math.prod(projection.kernel.shape[axis] for axis in of_outputs)
        if projection.bias is not None and math.prod(projection.bias.shape) != outputs:
            raise ValueError("its bias is shared by several features")

    def check(self) -> None:
        """Raises ValueError if the weights cannot be changed, see above."""
        _check_projection(self.projection)

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias."""
        return self.projection.bias is not None

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of kernel and bias."""
        pair = self.projection.kernel, self.projection.bias
        return [variable for variable in pair if variable is not None]

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Kernel `(D, heads, H)` and bias `(heads, H)` or `None`."""
        kernel = self._flat_kernel()[:, self.features]
        bias = self._flat_bias()
        return kernel, None if bias is None else bias[self.features]

    def write(self, kernel: np.ndarray, bias: np.ndarray | None) -> None:
        """Assigns what `read` returned, changed."""
        flat = self._flat_kernel()
        flat[:, self.features] = kernel
        variable = self.projection.kernel
        flat = flat.reshape([variable.shape[axis] for axis in self._axes])
        variable.assign(flat.transpose(np.argsort(self._axes)))
        if bias is not None:
            flat = self._flat_bias()
            flat[self.features] = bias
            self.projection.bias.assign(flat.reshape(self.projection.bias.shape))

    def _flat_kernel(self):
        """`(D, F)`, a copy."""
        kernel = _numpy(self.projection.kernel).transpose(self._axes)
        outputs = kernel.shape[self._inputs :]
        return kernel.reshape(-1, math.prod(outputs)).copy()

    def _flat_bias(self):
        """`(F,)`, a copy, or `None`."""
        bias = self.projection.bias
        return None if bias is None else _numpy(bias).reshape(-1).copy()


def _check_projection(projection):
    kinds = keras.layers.Dense, keras.layers.EinsumDense
    found = None
    if not isinstance(projection, kinds):
        found = f"its projection is of class {type(projection).__name__}"
    elif projection.quantization_mode is not None:
        found = f"its projections are quantized to {projection.quantization_mode}"
    elif projection.lora_enabled:
        found = "its projections have LoRA weights: match moments before `enable_lora`"
    elif getattr(projection, "activation", None) not in (
        None,
        keras.activations.linear,
    ):
        found = "its projections have an activation"
    if found:
        raise ValueError(found)


def _kernel_axes(projection):
    """The kernel's axes, of inputs and then of outputs, and how many are of inputs."""
    if isinstance(projection, keras.layers.Dense):
        return (0, 1), 1
    inputs, output = projection.equation.replace(" ", "").split("->")
    of_inputs, kernel = inputs.split(",")
    contracted = [letter for letter in kernel if letter not in output]
    produced = [letter for letter in output if letter in kernel]
    if any(letter in of_inputs for letter in produced):
        raise ValueError(f"its projection has the equation {projection.equation}")
    axes = tuple(kernel.index(letter) for letter in (*contracted, *produced))
    return axes, len(contracted)


def _numpy(variable):
    if variable.dtype in ("bfloat16", "float16"):  # NumPy lacks the first
        variable = ops.cast(variable, "float32")
    return ops.convert_to_numpy(variable).astype("float64")
