"""How a model was compiled."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras

_GATHERING = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
_WEIGHT_DECAY = (
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
)


def variable_scope(model: keras.Model) -> contextlib.AbstractContextManager:
    """The scope of the `tf.distribute` strategy that the model was created under."""
    strategy = getattr(model, "distribute_strategy", None)  # on TensorFlow alone
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """The arguments with which the model was compiled, as given or set since.

    Raises:
        TypeError: if the model's own `compile` takes others, which Keras does not keep.
    """
    other = _own_compile_parameters(type(model)) - {"sampler"}
    if other:
        raise TypeError(f"It has arguments that Keras does not keep: {sorted(other)}")
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    arguments = {**model._compile_config.config, **_set_since(model)}
    if model.dtype_policy.name == "mixed_float16" and not scaled:
        arguments["auto_scale_loss"] = False
    if "sampler" in inspect.signature(model.compile).parameters:
        arguments["sampler"] = model.sampler  # of a generative task of keras-hub
    return arguments


def _set_since(model: keras.Model) -> dict[str, Any]:
    """What attributes of a compiled model say now, where it was set afterwards."""
    given, since = model._compile_config.config, {"run_eagerly": model.run_eagerly}
    jit_compile = given.get("jit_compile", "auto")
    if jit_compile == "auto":
        jit_compile = model._resolve_auto_jit_compile()
    if model.jit_compile != jit_compile:
        since["jit_compile"] = model.jit_compile
    optimizer, known = given.get("optimizer"), keras.optimizers.Optimizer
    inner = innermost_optimizer(model.optimizer)
    if isinstance(optimizer, known) and innermost_optimizer(optimizer) is not inner:
        since["optimizer"] = model.optimizer
    return since


def _own_compile_parameters(cls: type[keras.Model]) -> set[str]:
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


@contextlib.contextmanager
def fresh_functions(model: keras.Model) -> Iterator[None]:
    """Lets a model trace its steps anew, and gives it the traced ones back after."""
    names = "train_function", "test_function", "predict_function"
    before = {name: getattr(model, name) for name in names}
    vars(model).update(dict.fromkeys(names))
    try:
        yield
    finally:
        vars(model).update(before)


def innermost_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer that a `LossScaleOptimizer` holds, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def fresh_optimizer(optimizer: Any) -> Any:
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
