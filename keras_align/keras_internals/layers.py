"""What a layer tracks."""

import contextlib
import functools

import keras

_MISSING = object()


def sublayers(layer):
    """The layers that `layer` tracks, in the order of its variables."""
    return list(layer._layers)


def flattened(layer):
    """The layer and all layers inside it, at any depth."""
    return layer._flatten_layers()


@contextlib.contextmanager
def without_variables(layer, left_out):
    """Lets a layer save and load its own variables as if it did not have some."""
    before = layer._trainable_variables, layer._non_trainable_variables
    left_out = set(map(id, left_out))
    kept = ([x for x in each if id(x) not in left_out] for each in before)
    names = "_trainable_variables", "_non_trainable_variables"
    vars(layer).update(zip(names, kept, strict=True))
    try:
        yield
    finally:
        vars(layer).update(zip(names, before, strict=True))


@contextlib.contextmanager
def without_sublayers(layer, left_out):
    """Lets a layer and the layers around it not list some of its sublayers."""
    before, left_out = layer._layers, set(map(id, left_out))
    vars(layer)["_layers"] = [x for x in before if id(x) not in left_out]
    try:
        yield
    finally:
        vars(layer)["_layers"] = before


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


def tracked_order(layer):
    """Returns a function that brings what the layer tracks into today's order again."""
    stores = [tracked for _, tracked in layer._tracker.config.values()]
    orders = [{id(x): index for index, x in enumerate(each)} for each in stores]

    def reorder():
        for each, order in zip(stores, orders, strict=True):
            each.sort(key=lambda x, order=order: order.get(id(x), len(order)))

    return reorder


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


def track_parameters(model):
    """Lets the parameters that PyTorch sees be those of the variables again."""
    for layer in flattened(model):
        if hasattr(layer, "_torch_params"):
            layer._track_variables()


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


def last_activation(model):
    """The activation that a functional model's output comes from, `None` if unknown."""
    operation = model.outputs[0]._keras_history.operation
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        return last_activation(operation)
    if isinstance(operation, keras.layers.Softmax):
        return keras.activations.softmax
    return getattr(operation, "activation", None)
