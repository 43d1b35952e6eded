"""Presets of keras-hub that hold aligned backbones.

`from_preset` asks Keras for the backbone class that a preset names, takes it only if it
derives from the class that was called, and finds tasks, preprocessors and tokenizers by
comparing it with their `backbone_cls`. So each backbone of keras-hub has an alias: a
class under a name of its own that leads to its aligned class and compares equal to the
plain one. The aliases are made when keras-hub has been imported, which keras_align
itself never does.
"""

import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import wrapt

from keras_align.conversion.configs import PACKAGE
from keras_align.conversion.supported import plain_class

_ALIASES = {}  # from the name of a backbone class to the class that presets name


def register_presets(container_class: Callable[[type], type]) -> None:
    """Registers the classes that presets name, once keras-hub is imported.

    Args:
        container_class: function from a backbone class to its aligned class.
    """

    @wrapt.when_imported("keras_hub")
    def register(keras_hub):
        names = keras.saving.get_custom_objects()
        for backbone in list(_subclasses(keras_hub.models.Backbone)):
            alias = _alias(backbone, container_class(backbone))
            _ALIASES[backbone.__name__] = alias
            names[f"{PACKAGE}>{backbone.__name__}"] = alias


def save_to_preset(
    self: Any, preset_dir: str | os.PathLike, *args: Any, **kwargs: Any
) -> None:
    """`save_to_preset` of an aligned backbone: its preset names the alias."""
    plain = plain_class(type(self))
    alias = _ALIASES.get(plain.__name__)
    if alias is None or alias.plain is not plain:
        raise NotImplementedError(
            f"Only backbones of keras-hub, and tasks whose attention is all in the "
            f"backbone, can be aligned in a preset. Received: {plain.__name__} "
            f"'{self.name}'. Use `model.save(...)`, or call "
            "`keras_align.strip_alignment(model)` first."
        )
    plain.save_to_preset(self, preset_dir, *args, **kwargs)
    file = pathlib.Path(preset_dir) / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["registered_name"] = f"{PACKAGE}>{config['class_name']}"
    file.write_text(json.dumps(config, indent=4), encoding="utf-8")


def _alias(plain, aligned):
    names = {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "plain": plain,
    }
    return _alias_type(plain.__class__)(plain.__name__, (aligned,), names)


@functools.cache
def _alias_type(metaclass):
    """Subclass of a metaclass for classes that equal the class they stand for."""

    def equals(cls, other):
        return other is cls or other is cls.plain

    def hash_(cls):
        return hash(cls.plain)

    return type("Alias", (metaclass,), {"__eq__": equals, "__hash__": hash_})


def _subclasses(cls):
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
