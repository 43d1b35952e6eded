"""Layers and models whose config does not mention the attention inside them.

A keras-hub `TransformerEncoder` is rebuilt from its sizes: what became of its
attention would be lost when it is saved. Such a container gets a subclass of its class,
of the same name, whose config also says how its attention layers are aligned. All these
subclasses are registered under one name, whose `from_config` rebuilds the plain layer
and aligns it again. Layers whose config holds the configs of their children (functional
models, keras-hub tasks) stay as they are.
"""

import contextlib
import functools
import warnings
from typing import Any

import keras

from keras_align import keras_internals
from keras_align.conversion import lora, presets
from keras_align.conversion.configs import (
    CONTAINER_NAME,
    KEY,
    PACKAGE,
    described_alignments,
)
from keras_align.conversion.finding import find_attention, holders
from keras_align.conversion.supported import is_aligned, is_supported, plain_class
from keras_align.conversion.swapping import make_aligned, options

_PENDING = "keras_align_pending"  # key in `vars` of a layer
# Methods that a container has in the place of those of its class.
_METHODS = {"save_to_preset": presets.save_to_preset, **lora.METHODS}


class AlignedContainer(keras.layers.Layer):
    """What a container of aligned attention has beyond its plain class.

    Class attributes:
        contained_class: the class that it extends.
    """

    contained_class: type[keras.layers.Layer]

    def get_config(self) -> dict[str, Any]:
        """The plain config; under one more key the plain class and the alignments."""
        with _plain_class(self):
            config, cls = self.get_config(), type(self)
        plain = {
            "module": cls.__module__,
            "class_name": cls.__name__,
            "registered_name": keras.saving.get_registered_name(cls),
            "build_config": self.get_build_config(),
        }
        return {**config, KEY: {"host": plain, **_attention_of(self)}}

    def __reduce__(self) -> tuple[Any, ...]:
        load, arguments = super().__reduce__()  # `load` is a method of the class
        return getattr(plain_class(type(self)), load.__name__), arguments

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        if KEY not in config:  # the config of a plain layer
            return super().from_config(config)
        own = {key: value for key, value in config.items() if key != KEY}
        plain = {**config[KEY]["host"], "config": own}
        known = {}  # the class itself, which then needs no registration
        if hasattr(cls, "contained_class"):
            known[plain["class_name"]] = plain_class(cls)
        layer = keras.saving.deserialize_keras_object(plain, custom_objects=known)
        make_container(layer)
        vars(layer)[_PENDING] = config[KEY]
        if keras_internals.has_build(layer):
            keras_internals.when_built(layer, functools.partial(_restore, layer))
        else:
            _restore(layer)
        return layer


_register = keras.saving.register_keras_serializable(PACKAGE, CONTAINER_NAME)
_register(AlignedContainer)


def needs_container(layer: keras.layers.Layer) -> bool:
    """Whether a layer's config leaves out the alignment of attention inside it."""
    is_container = isinstance(layer, AlignedContainer)
    if is_container or type(layer).__module__.startswith("keras."):
        return False
    aligned = sum(is_aligned(each.layer) for each in find_attention(layer)[0])
    try:
        with warnings.catch_warnings(action="ignore"):
            config = keras.saving.serialize_keras_object(layer)
    except Exception:  # without a config it cannot be saved, and Keras will say so
        return True
    return described_alignments(config) < aligned


def make_container(layer: keras.layers.Layer) -> None:
    """Lets the layer's config carry the alignment of the attention inside it."""
    if not isinstance(layer, AlignedContainer):
        layer.__class__ = _container_class(layer.__class__)


def unmake_container(layer: keras.layers.Layer) -> None:
    """Gives a container its plain class back."""
    if isinstance(layer, AlignedContainer):
        layer.__class__ = type(layer).contained_class


@functools.cache
def _container_class(contained):
    """The subclass of a class for containers, with its name."""
    names = {
        # Stands in files: without this package Keras would else import the plain class
        # of keras-hub and lose the alignments silently.
        "__module__": __name__,
        "__qualname__": contained.__qualname__,
        "contained_class": contained,
    }
    names |= {key: x for key, x in _METHODS.items() if hasattr(contained, key)}
    cls = type(contained)(contained.__name__, (AlignedContainer, contained), names)
    _register(cls)
    _register(AlignedContainer)  # the name leads to this class, not to the latest one
    return cls


presets.register_presets(_container_class)


@contextlib.contextmanager
def _plain_class(container):
    """Makes a container look plain, as Keras derives configs from the class."""
    cls = type(container)
    container.__class__ = plain_class(cls)
    try:
        yield
    finally:
        container.__class__ = cls


def _attention_of(container):
    """How each attention layer inside is aligned, in the order of finding."""
    pending = vars(container).get(_PENDING)
    if pending is not None:
        return {key: value for key, value in pending.items() if key != "host"}
    layers = [each.layer for each in find_attention(container)[0]]
    return {
        "alignments": [options(layer) for layer in layers],
        "classes": [plain_class(type(layer)).__name__ for layer in layers],
    }


def _restore(container):
    """Aligns the attention layers of a rebuilt container as its config says.

    Layers inside that are not built may still make some: it then waits for them.
    """
    described = vars(container).get(_PENDING)
    if described is None:
        return
    alignments = described["alignments"]
    found, _ = find_attention(container)
    remedy = _registration(container, described.get("classes", []))
    unbuilt = [x for x in keras_internals.flattened(container) if _may_make_layers(x)]
    if len(found) < len(alignments) and unbuilt and not remedy:
        for layer in unbuilt:
            keras_internals.when_built(layer, functools.partial(_restore, container))
        return
    if len(found) != len(alignments):
        raise ValueError(
            f"The config of {type(container).__name__} '{container.name}' describes "
            f"{len(alignments)} attention layers, but {len(found)} were rebuilt: "
            f"{[each.path for each in found]}.{remedy}"
        )
    del vars(container)[_PENDING]
    for each, option in zip(found, alignments, strict=True):
        if option is not None:
            align = functools.partial(_align_once, container, each, option)
            keras_internals.when_built(each.layer, align)


def _may_make_layers(layer):
    """Whether a layer is to be built by a `build` of its own, not by Keras's."""
    own = keras_internals.has_build(layer) and not layer.built
    return own and not type(layer).__module__.startswith("keras.")


def _registration(container, classes):
    """What to register so that the attention layers of a container are found again."""
    layers = keras_internals.flattened(container)
    plain = [type(layer) for layer in layers if not is_supported(layer)]
    names = {plain_class(cls).__name__ for cls in plain} & {*classes}
    calls = [f"`keras_align.register_attention({name})`" for name in sorted(names)]
    return f" Call {' and '.join(calls)} before loading." if calls else ""


def _align_once(container, found, option):
    if not is_aligned(found.layer):
        make_aligned(found.layer, **option)
    for holder in (found.layer, *holders(container, [found])):
        if needs_container(holder):
            make_container(holder)
