"""What a layer tracks."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

_MISSING = object()
_DEFAULT = "_is_default"


def sublayers(layer: keras.Layer) -> list[keras.Layer]:
    """The layers that `layer` tracks, in the order of its variables."""
    return list(layer._layers)


def flattened(layer: keras.Layer) -> Iterable[keras.Layer]:
    """The layer and all layers inside it, at any depth."""
    return layer._flatten_layers()


@contextlib.contextmanager
def without_variables(
    layer: keras.Layer, left_out: Iterable[keras.Variable]
) -> Iterator[None]:
    """Lets a layer save and load its own variables as if it did not have some."""
    before = layer._trainable_variables, layer._non_trainable_variables
    omitted = set(map(id, left_out))
    kept = ([x for x in each if id(x) not in omitted] for each in before)
    names = "_trainable_variables", "_non_trainable_variables"
    vars(layer).update(zip(names, kept, strict=True))
    try:
        yield
    finally:
        vars(layer).update(zip(names, before, strict=True))


@contextlib.contextmanager
def without_sublayers(
    layer: keras.Layer, left_out: Iterable[keras.Layer]
) -> Iterator[None]:
    """Lets a layer and the layers around it not list some of its sublayers."""
    before, left_out = layer._layers, set(map(id, left_out))
    vars(layer)["_layers"] = [x for x in before if id(x) not in left_out]
    try:
        yield
    finally:
        vars(layer)["_layers"] = before


@contextlib.contextmanager
def unlocked(layer: keras.Layer) -> Iterator[None]:
    """Lets a built layer take and lose sublayers and metrics."""
    locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if locked:
            layer._tracker.lock()


def name_scope(layer: keras.Layer) -> contextlib.AbstractContextManager:
    """The scope in which variables get paths below that of the built `layer`."""
    return layer._open_name_scope()


def track_first(layer: keras.Layer, sublayer: keras.Layer) -> None:
    """Moves a tracked sublayer to where a constructor would have tracked it."""
    layer._layers.remove(sublayer)
    layer._layers.insert(0, sublayer)


def tracked_order(layer: keras.Layer) -> Callable[[], None]:
    """Returns a function that restores the present order of what the layer tracks."""
    stores = [tracked for _, tracked in layer._tracker.config.values()]
    orders = [{id(x): index for index, x in enumerate(each)} for each in stores]

    def reorder() -> None:
        for each, order in zip(stores, orders, strict=True):
            each.sort(key=lambda x, order=order: order.get(id(x), len(order)))

    return reorder


def remove_attributes(layer: keras.Layer, names: Iterable[str]) -> None:
    """Deletes attributes and everything that tracks their values."""
    with unlocked(layer):
        layer._clear_losses()
        for name in names:
            value = getattr(layer, name, _MISSING)
            if value is _MISSING:
                continue
            if isinstance(value, keras.Variable):
                layer._untrack_variable(value)
                setattr(layer, name, None)  # to delete a Variable collects garbage
            else:
                layer._tracker.untrack(value)
            delattr(layer, name)


def track_parameters(model: keras.Layer) -> None:
    """Lets the parameters that PyTorch sees be those of the variables again."""
    for layer in flattened(model):
        if hasattr(layer, "_torch_params"):
            layer._track_variables()


def when_built(layer: keras.Layer, action: Callable[[], Any]) -> None:
    """Calls `action` now if the layer is built, else as soon as it will be."""
    if layer.built:
        action()
        return
    build = layer.build

    @functools.wraps(build)
    def build_and_act(*args: Any, **kwargs: Any) -> None:
        build(*args, **kwargs)
        layer.__dict__["build"] = build
        action()

    layer.__dict__["build"] = build_and_act


def has_build(layer: keras.Layer) -> bool:
    """Whether the layer's class has a `build` of its own."""
    return type(layer).build is not keras.Layer.build


def default_method(method: Callable) -> Callable:
    """Decorator: a subclass that does not override the method is as one of Keras's.

    Of `get_config`: that subclass has the config that Keras makes of its arguments.
    """
    setattr(method, _DEFAULT, True)
    return method


def is_default_method(method: Callable) -> bool:
    """Whether the method is decorated so, by Keras or by `default_method`."""
    return getattr(method, _DEFAULT, False)


def last_activation(model: keras.Model) -> Any:
    """The activation that a functional model's output comes from, `None` if unknown."""
    operation = model.outputs[0]._keras_history.operation
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        return last_activation(operation)
    if isinstance(operation, keras.layers.Softmax):
        return keras.activations.softmax
    return getattr(operation, "activation", None)
