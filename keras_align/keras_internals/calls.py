"""The call of a layer that is going on."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.backend.common.stateless_scope import (
    get_stateless_scope,
    in_stateless_scope,
)
from keras.src.backend.common.variables import AutocastScope
from keras.src.trainers.compile_utils import CompileMetrics


def token_mask(tensor: Any) -> Any:
    """The mask that an `Embedding` with `mask_zero` left on a tensor, or `None`."""
    return get_keras_mask(tensor)


def with_mask_of(tensor: Any, other: Any) -> Any:
    """The tensor, on which the mask of another is left if that has one."""
    mask = get_keras_mask(other)
    if mask is not None:
        set_keras_mask(tensor, mask)
    return tensor


def _call_context() -> Any:
    return global_state.get_global_attribute("current_call_ctx")


def called_root() -> keras.Layer | None:
    """The outermost layer or model of the call that is going on, or `None`.

    There is none while a `keras.RematScope` computes a layer again. In a stateless step
    it is an inner layer, as Keras does not call the model but its method `call`.
    """
    context = _call_context()
    return None if context is None else context.entry_layer


def training_of_call() -> bool | None:
    """Whether the call that is going on is one of training; `None` if unknown."""
    context = _call_context()
    return None if context is None else context.get_value("training")


def is_inference_call() -> bool:
    """Whether Keras knows that the call that is going on is not one of training."""
    context = _call_context()
    return context is not None and not context.get_value("training")


def notes_of_step() -> dict[int, Any]:
    """A dict that is kept as long as the current step.

    A step is an outermost call of Keras with all calls inside it, or a stateless step.
    A `call` that Keras does not know of gets a dict of its own.
    """
    step = get_stateless_scope() if in_stateless_scope() else _call_context()
    return {} if step is None else vars(step).setdefault("keras_align_notes", {})


def in_stateless_step() -> bool:
    """Whether the state of this step is passed through functions, as JAX's is."""
    return in_stateless_scope()


def has_losses_of_step(layer: keras.Layer) -> bool:
    """Whether a stateless step holds losses that the layer added earlier in it.

    There each call of an inner layer is an outermost one, before which Keras clears the
    losses of the layer's earlier calls.
    """
    if not in_stateless_scope():
        return False
    scope = get_stateless_scope()
    return scope.collect_losses and any(id(x) in layer._loss_ids for x in scope.losses)


def after_compute_loss(model: keras.Model, action: Callable[[], None]) -> None:
    """Calls `action` after `compute_loss` in steps, until `forget_compute_loss`.

    In a stateless step only that method sees both the state that `call` has written and
    the variables of metrics. Nothing is done for a model with an action already.
    """
    if isinstance(vars(model).get("compute_loss"), _ComputeLoss):
        return
    model.__dict__["compute_loss"] = _ComputeLoss(
        model.compute_loss, vars(model).get("compute_loss"), action
    )


def forget_compute_loss(model: keras.Model) -> None:
    """Undoes `after_compute_loss` where the method was not called."""
    hook = vars(model).get("compute_loss")
    if isinstance(hook, _ComputeLoss):
        del model.__dict__["compute_loss"]
        if hook.own is not None:
            model.__dict__["compute_loss"] = hook.own


class _ComputeLoss:
    """The `compute_loss` of one model, followed by an action."""

    def __init__(self, original: Any, own: Any, action: Callable[[], None]) -> None:
        self.original, self.own, self.action = original, own, action

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        loss = self.original(*args, **kwargs)
        if in_stateless_scope():
            self.action()
        return loss


def is_in_stateless_fit(model: keras.Model) -> bool:
    """Whether a `fit` that passes state through functions, as JAX's, is going on."""
    return getattr(model, "_jax_state", None) is not None


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Lets variables be read as they are; also serves as a decorator.

    In a layer of mixed precision they are read as float16 or bfloat16 otherwise, where
    the sum and the count of a metric soon stop growing.
    """
    with AutocastScope(None):
        yield


def is_traced() -> bool:
    """Whether variables have no values now, as a graph or stateless step is made."""
    if keras.backend.backend() != "tensorflow":
        return in_stateless_scope()
    import tensorflow as tf

    return in_stateless_scope() or not tf.executing_eagerly()


def is_compile_metrics(metric: keras.metrics.Metric) -> bool:
    """Whether a metric stands for all that `compile` was given."""
    return isinstance(metric, CompileMetrics)


def has_values(tensor: Any) -> bool:
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
