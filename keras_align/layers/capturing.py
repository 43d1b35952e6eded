"""Looking at what a layer computes while it is called."""

import contextlib


@contextlib.contextmanager
def watched(layer, method, note):
    """Lets `note` see every call of a method of one layer.

    The method is replaced in the instance alone, for the time of a call. An overridden
    `_compute_attention` in the class would make Keras give up its native causal kernel.

    Args:
        layer: `keras.layers.Layer`.
        method: string, name of the method.
        note: function of the tuple of arguments, their dictionary, and the result.
    """
    original = getattr(layer, method)

    def watching(*args, **kwargs):
        result = original(*args, **kwargs)
        note(args, kwargs, result)
        return result

    before = vars(layer).get(method)  # as a method that is watched already
    layer.__dict__[method] = watching
    try:
        yield
    finally:
        if before is None:
            del layer.__dict__[method]
        else:
            layer.__dict__[method] = before


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

    def note(args, kwargs, result):
        given = [*args[:2], *(kwargs[x] for x in ("query", "key") if x in kwargs)]
        pairs.append(tuple(given))

    with watched(layer, method, note):
        yield pairs
