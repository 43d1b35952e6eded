"""What an aligned layer checks of its alignment."""

from typing import Any

import keras

from keras_align.alignments import Alignment
from keras_align.divergences.numerics import Tensor


def check_gradient(layer: Any, alignment: Alignment | None) -> None:
    """Raises if the alignment needs projections that the layer cannot repeat."""
    asked = alignment is not None and alignment.projections_only
    if asked and not layer._repeats_projections:
        raise ValueError(
            f"Argument `alignment`: layer '{layer.name}' of class "
            f"{type(layer).__name__} hands its queries and keys to "
            "`add_alignment_loss`, which cannot project constant inputs. Project "
            "`keras.ops.stop_gradient` of the inputs yourself, and use "
            "projections_only=False. Received: projections_only=True"
        )


def check_projections(query: Tensor, key: Tensor, shape: tuple[int, int]) -> None:
    """Raises unless queries and keys have heads as the networks were built for."""
    heads, size = shape
    shapes = tuple(query.shape), tuple(key.shape)
    right = shapes[0][3:] == (size,) and shapes[1][2:] == (heads, size)
    if not right or shapes[0][2] % heads:
        raise ValueError(
            f"Arguments `query` and `key` must be of the shapes (B, T, N, {size}) and "
            f"(B, S, {heads}, {size}), where {heads} divides N, as the attributes of "
            f"the layer say. Received: query of shape {shapes[0]}, key of shape "
            f"{shapes[1]}"
        )


def check_divergence(divergence: Tensor, alignment: Alignment) -> None:
    """Raises unless an alignment returned what `Alignment` asks for."""
    dtype = keras.backend.standardize_dtype(getattr(divergence, "dtype", "int32"))
    if not keras.backend.is_float_dtype(dtype) or len(divergence.shape) != 2:
        raise ValueError(
            f"{type(alignment).__name__}.call must return a float tensor (B, N), the "
            f"divergence of every sample and head. Received: {divergence}"
        )
