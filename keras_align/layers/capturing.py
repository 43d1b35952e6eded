"""Looking at what a layer computes while it is called."""

import contextlib

import keras
from keras import ops


@contextlib.contextmanager
def replaced(layer, method, make):
    """Replaces a method of one layer for the time of a `with` statement.

    In the instance alone: an overridden `_compute_attention` in the class would make
    Keras give up its native causal kernel.

    Args:
        layer: `keras.layers.Layer`.
        method: string, name of the method.
        make: function from the method to what replaces it.
    """
    original = getattr(layer, method)
    before = vars(layer).get(method)  # as a method that is replaced already
    layer.__dict__[method] = make(original)
    try:
        yield
    finally:
        if before is None:
            del layer.__dict__[method]
        else:
            layer.__dict__[method] = before


def watched(layer, method, note):
    """Lets `note` see every call of a method of one layer, as `replaced` does.

    Args:
        layer: `keras.layers.Layer`.
        method: string, name of the method.
        note: function of the tuple of arguments, their dictionary, and the result.
    """

    def watching(original):
        def call(*args, **kwargs):
            result = original(*args, **kwargs)
            note(args, kwargs, result)
            return result

        return call

    return replaced(layer, method, watching)


def calling_method(layer):
    """Name of the method that calling a layer runs; it is another one in int8."""
    quantized = getattr(layer, "quantization_mode", None) is not None
    return "quantized_call" if quantized else "call"


@contextlib.contextmanager
def captured_arguments(layer, method="_compute_attention"):
    """Notes the queries and keys that a method of an attention layer is called with.

    Args:
        layer: attention layer.
        method: string, name of a method whose first arguments are `query` and `key`.

    Yields:
        List, empty at first, of pairs of a query and a key, one for each call.
    """
    pairs = []

    def capturing(original):
        def call(*args, **kwargs):
            named = (kwargs[x] for x in ("query", "key") if x in kwargs)
            pairs.append(tuple(map(_unchanged, [*args[:2], *named])))
            return original(*args, **kwargs)

        return call

    with replaced(layer, method, capturing):
        yield pairs


def _unchanged(x):
    """On PyTorch a copy: there `query *= scale` would change what was captured."""
    return ops.copy(x) if keras.config.backend() == "torch" else x
