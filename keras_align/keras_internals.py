"""The one place that uses private names of Keras (3.15)."""

import contextlib
import functools
import inspect

import keras
from keras.src.backend import AutocastScope, get_stateless_scope, in_stateless_scope
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask

_MISSING = object()
_GATHERING = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
_WEIGHT_DECAY = (
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
)


def token_mask(tensor):
    """The mask that an `Embedding` with `mask_zero` left on a tensor, or `None`."""
    return get_keras_mask(tensor)


def sublayers(layer):
    """The layers that `layer` tracks, in the order of its variables."""
    return list(layer._layers)


def flattened(layer):
    """The layer and all layers inside it, at any depth."""
    return layer._flatten_layers()


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


def losses_of_stateless_step():
    """Losses gathered so far in a stateless (JAX) training step, `None` outside."""
    return list(get_stateless_scope().losses) if in_stateless_scope() else None


def own_variables(layer):
    """The variables of a layer itself, without those of its sublayers."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


@contextlib.contextmanager
def unlocked(layer):
    """Lets a built layer take and lose sublayers and metrics."""
    locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if locked:
            layer._tracker.lock()


def name_scope(layer):
    """The scope in which variables get paths below that of the built `layer`."""
    return layer._open_name_scope()


def track_first(layer, sublayer):
    """Moves a tracked sublayer to where a constructor would have tracked it."""
    layer._layers.remove(sublayer)
    layer._layers.insert(0, sublayer)


def remove_attributes(layer, names):
    """Deletes attributes and everything that tracks their values."""
    with unlocked(layer):
        layer._clear_losses()
        for name in names:
            value = getattr(layer, name, _MISSING)
            if value is _MISSING:
                continue
            if not isinstance(value, keras.Variable):
                layer._tracker.untrack(value)
            delattr(layer, name)


def when_built(layer, action):
    """Calls `action` now if the layer is built, else as soon as it will be."""
    if layer.built:
        action()
        return
    build = layer.build

    @functools.wraps(build)
    def build_and_act(*args, **kwargs):
        build(*args, **kwargs)
        layer.__dict__["build"] = build
        action()

    layer.__dict__["build"] = build_and_act


def has_build(layer):
    """Whether the layer's class has a `build` of its own."""
    return not getattr(layer.build, "_is_default", False)


def variable_scope(model):
    """The scope of the `tf.distribute` strategy that the model was created under."""
    strategy = getattr(model, "_distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def compile_arguments(model):
    """The arguments with which the model was compiled, as they were given.

    Raises:
        TypeError: if the model's own `compile` takes others, which Keras does not keep.
    """
    other = _own_compile_parameters(type(model)) - {"sampler"}
    if other:
        raise TypeError(f"It has arguments that Keras does not keep: {sorted(other)}")
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    arguments = dict(model._compile_config.config)
    if model.dtype_policy.name == "mixed_float16" and not scaled:
        arguments["auto_scale_loss"] = False
    if "sampler" in inspect.signature(model.compile).parameters:
        arguments["sampler"] = model.sampler  # of a generative task of keras-hub
    return arguments


def _own_compile_parameters(cls):
    """Names of the arguments that overridden `compile`s take beyond Keras's own."""
    known = inspect.signature(keras.Model.compile).parameters
    names = set()
    for each in cls.__mro__:
        if each is keras.Model:
            break
        if "compile" in vars(each):
            _, *given = inspect.signature(vars(each)["compile"]).parameters.values()
            names |= {x.name for x in given if x.kind not in _GATHERING}
    return names - set(known)


def fresh_optimizer(optimizer):
    """An equal optimizer without slots; the same one if it has none yet."""
    if not isinstance(optimizer, keras.optimizers.Optimizer) or not optimizer.built:
        return optimizer
    fresh = type(optimizer).from_config(optimizer.get_config())
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        fresh.inner_optimizer = fresh_optimizer(optimizer.inner_optimizer)
    for name in _WEIGHT_DECAY:
        if hasattr(optimizer, name):
            setattr(fresh, name, getattr(optimizer, name))
    return fresh
