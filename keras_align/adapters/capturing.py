"""Looking at what a layer computes while it is called."""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.divergences.numerics import Tensor

_LOCK = threading.RLock()


@contextlib.contextmanager
def replaced(
    layer: keras.layers.Layer,
    method: str,
    make: Callable[[Callable[..., Any]], Callable[..., Any]],
    all_threads: bool = False,
) -> Iterator[None]:
    """Replaces a method of one layer for the time of a `with` statement.

    In the instance alone: an overridden `_compute_attention` in the class would make
    Keras give up its native causal kernel.

    Args:
        layer: `keras.layers.Layer`.
        method: string, name of the method.
        make: function from the method to what replaces it.
        all_threads: bool, whether threads that replace nothing themselves, as those of
            replicas, see it, too. Defaults to `False`.
    """
    with _LOCK:
        inner = vars(layer).get(method)
        if not isinstance(inner, _Replaceable):
            inner = _Replaceable(getattr(layer, method), inner)
            layer.__dict__[method] = inner
        inner.users += 1
    stack = inner.of_all if all_threads else inner.of_thread
    stack.append(make(inner.current()))
    try:
        yield
    finally:
        stack.pop()
        with _LOCK:
            inner.users -= 1
            if not inner.users:
                inner.restore(layer, method)


class _Replaceable:
    """A method of one layer that every thread can replace for itself.

    The replicas of a `tf.distribute.MirroredStrategy` call a layer in threads, which
    take turns wherever the replicas reduce something.
    """

    def __init__(self, original, own):
        functools.update_wrapper(self, original)
        self.original, self.own = original, own
        self.users, self.local, self.of_all = 0, threading.local(), [original]

    def __call__(self, *args, **kwargs):
        return self.current()(*args, **kwargs)

    def current(self):
        """What stands for the method now."""
        return (self.of_thread or self.of_all)[-1]

    @property
    def of_thread(self):
        """What this thread has put in the place of the method, the last one on top."""
        if not hasattr(self.local, "stack"):
            self.local.stack = []
        return self.local.stack

    def restore(self, layer, method):
        """Undoes the replacement: the method is the instance's own, if it had one."""
        if self.own is None:
            del layer.__dict__[method]
        else:
            layer.__dict__[method] = self.own


def watched(
    layer: keras.layers.Layer, method: str, note: Callable[[tuple, dict, Any], None]
) -> contextlib.AbstractContextManager[None]:
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


def calling_method(layer: keras.layers.Layer) -> str:
    """Name of the method that calling a layer runs; it is another one in int8."""
    quantized = getattr(layer, "quantization_mode", None) is not None
    return "quantized_call" if quantized else "call"


@contextlib.contextmanager
def captured_arguments(
    layer: keras.layers.Layer, method: str = keras_internals.COMPUTE_ATTENTION
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Notes the queries and keys that a method of an attention layer is called with.

    Args:
        layer: attention layer.
        method: string, name of a method whose first parameters are a query and a key.

    Yields:
        List, empty at first, of pairs of a query and a key, one for each call.
    """
    pairs = []

    def capturing(original):
        parameters = list(inspect.signature(original).parameters)[:2]

        def call(*args, **kwargs):
            named = {**dict(zip(parameters, args, strict=False)), **kwargs}
            pairs.append(tuple(_unchanged(named[name]) for name in parameters))
            return original(*args, **kwargs)

        return call

    with replaced(layer, method, capturing):
        yield pairs


def _unchanged(x):
    """On PyTorch a copy: there `query *= scale` would change what was captured."""
    return ops.copy(x) if keras.config.backend() == "torch" else x
