"""What an aligned layer checks when its alignment is called."""

import keras

from keras_align.alignments import Alignment
from keras_align.divergences.numerics import Tensor


def check_gradient(layer: keras.layers.Layer, alignment: Alignment) -> None:
    """Raises if the alignment needs projections that the layer cannot repeat."""
    if alignment.projections_only:
        raise ValueError(
            f"Layer '{layer.name}' calls `add_alignment_loss`, which is given queries "
            "and keys and cannot project constant inputs. Received an alignment with "
            "projections_only=True. Use False, and queries and keys that you project "
            "from `keras.ops.stop_gradient` of the inputs."
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
