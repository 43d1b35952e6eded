"""Dropout whose random numbers are also drawn fast by XLA on a CPU."""

from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor

_BITS = 30  # that decide about one entry


def dropout(x: Tensor, rate: float, seed: Any) -> Tensor:
    """Sets entries to 0 with a probability and divides the others by its complement.

    As `keras.random.dropout`, for features that need no gradient, too.

    Args:
        x: float tensor of any shape.
        rate: float in [0, 1), the probability.
        seed: as in `keras.random.randint`.

    Returns:
        Tensor like `x`.
    """
    drawn = _integers(x, seed)
    return ops.where(drawn >= round(rate * 2**_BITS), x / (1.0 - rate), 0.0)


def _integers(x, seed):
    """Random integers below `2**_BITS`, in the shape of a tensor.

    Where XLA compiles TensorFlow for a CPU, numbers of 32 bits take more than 50 times
    as long as those of 64 bits, and the halves of a number below a power of 2 are
    computed twice (`benchmarks/graph_attention.py --draws`).
    """
    shape = ops.shape(x)
    if keras.backend.backend() != "tensorflow":
        return keras.random.randint(shape, 0, 2**_BITS, dtype="int32", seed=seed)
    size = ops.size(x)
    limit = 2 ** (2 * _BITS) - 1
    pairs = keras.random.randint(
        ((size + 1) // 2, 1), 0, limit, dtype="int64", seed=seed
    )
    halves = ops.right_shift(pairs, ops.convert_to_tensor([[0, _BITS]], dtype="int64"))
    halves = ops.cast(ops.bitwise_and(halves, 2**_BITS - 1), "int32")
    return ops.reshape(ops.reshape(halves, (-1,))[:size], shape)
