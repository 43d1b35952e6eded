"""The call of a layer that is going on."""

import contextlib

import keras
from keras.src.backend import AutocastScope, get_stateless_scope, in_stateless_scope
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask


def token_mask(tensor):
    """The mask that an `Embedding` with `mask_zero` left on a tensor, or `None`."""
    return get_keras_mask(tensor)


def called_root():
    """The outermost layer or model of the call that is going on, or `None`.

    There is none while a `keras.RematScope` computes a layer again.
    """
    context = global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.entry_layer


def training_of_call():
    """Whether the call that is going on is one of training; `None` if unknown."""
    context = global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.get_value("training")


@contextlib.contextmanager
def full_precision():
    """Lets variables be read as they are; also serves as a decorator.

    In a layer of mixed precision they are read as float16 or bfloat16 otherwise, where
    the sum and the count of a metric soon stand still.
    """
    with AutocastScope(None):
        yield


def runs_tensorflow_eagerly():
    """Whether TensorFlow is the backend and traces no function now."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.executing_eagerly()


def has_values(tensor):
    """Whether the values of a tensor can be read now, as outside traced functions."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.is_symbolic_tensor(tensor)
    if backend == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    import torch

    return not (torch.compiler.is_compiling() or tensor.is_meta)


def losses_of_stateless_step():
    """Losses gathered so far in a stateless (JAX) training step, `None` outside."""
    return list(get_stateless_scope().losses) if in_stateless_scope() else None
