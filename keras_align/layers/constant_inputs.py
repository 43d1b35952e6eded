"""Queries and keys whose gradient ends at the inputs of their projections."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.adapters.capturing import calling_method, replaced

_ATTEND = keras_internals.COMPUTE_ATTENTION
_OF_KERAS = ("keras.", "keras_hub.")


def is_repeatable(layer: Any) -> bool:
    """Whether a second call of a layer is known to be the same and cheap.

    So it is in classes of Keras and keras-hub: others may keep something of their last
    call. Scales of float8 would be updated twice.
    """
    return _is_of_keras(layer) and not _has_scales_of_float8(layer)


class _AttendedError(Exception):
    """Ends a call where the attention begins."""


def captured_of_constants(
    layer: Any, call: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> list[tuple]:
    """Captures the queries and keys of a call in which all inputs are constants.

    It is the same call, with the same random numbers, so that a compiler merges both
    and drops what is not used. It leaves nothing behind in Keras's state. In
    `MultiHeadAttention` and other classes of Keras and keras-hub it ends where the
    attention begins.

    Args:
        layer: aligned attention layer, with an `adapter`.
        call: the plain `call` of the layer.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Returns:
        What `AttentionAdapter.capture` yields. A gradient reaches the projections, and
        what is between them and the attention.

    Raises:
        ValueError: if the layer is quantized to float8.
    """
    if _has_scales_of_float8(layer):
        raise ValueError(
            f"Argument `alignment` of layer '{layer.name}': expected "
            "projections_only=False in a layer that is quantized to float8, whose "
            "scales a second call would update again. Received: projections_only=True"
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(keras_internals.unrecorded(layer))
        for projection in _projections(layer):
            method = calling_method(projection)
            stack.enter_context(replaced(projection, method, _of_constants))
        if _attends_once(layer):
            stack.enter_context(replaced(layer, _ATTEND, _ending))
        pairs = stack.enter_context(layer.adapter.capture(layer))
        with contextlib.suppress(_AttendedError):
            _of_constants(call)(*args, **kwargs)
    return pairs


def _of_constants(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call with `keras.ops.stop_gradient` before every float argument."""

    def constant_call(*args, **kwargs):
        known: dict[int, Any] = {}  # what is one tensor stays one

        def constant(x):
            if not ops.is_tensor(x) or not keras.backend.is_float_dtype(x.dtype):
                return x
            if id(x) not in known:
                known[id(x)] = _constant(x)
            return known[id(x)]

        args, kwargs = keras.tree.map_structure(constant, (args, kwargs))
        return call(*args, **kwargs)

    return constant_call


def _constant(x):
    """A constant copy with its mask, which a layer may take off."""
    constant = ops.stop_gradient(x)
    constant = ops.copy(x) if constant is x else constant  # as on JAX
    return keras_internals.with_mask_of(constant, x)


def _projections(layer):
    """The layers that make queries and keys; none where weights of its own do."""
    try:
        return list(dict.fromkeys(layer.adapter.projections(layer)))
    except ValueError:
        return []


def _attends_once(layer):
    once = _is_of_keras(layer) and layer.adapter.attends_once
    return once and hasattr(layer, _ATTEND)


def _has_scales_of_float8(layer):
    return any(x.overwrite_with_gradient for x in layer.variables)


def _is_of_keras(layer):
    return layer.plain_class.__module__.startswith(_OF_KERAS)


def _ending(attend):
    @functools.wraps(attend)  # its parameters are looked at
    def end(*args, **kwargs):
        raise _AttendedError

    return end
