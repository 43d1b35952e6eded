"""Presets of keras-hub that hold aligned backbones.

`from_preset` asks Keras for the backbone class that a preset names, takes it only if it
derives from the class that was called, and finds tasks, preprocessors and tokenizers by
comparing it with their `backbone_cls`. So each backbone of keras-hub has a class under
a name of its own that leads to its aligned class and compares equal to the plain one.
They are made when keras-hub has been imported, which keras_align itself never does.
"""

import functools
import json
import pathlib

import keras
import wrapt

_PACKAGE = "keras_align"
_DOORS = {}  # from the name of a backbone class to the class that presets name


def register_presets(host_class):
    """Registers the classes that presets name, once keras-hub is imported.

    Args:
        host_class: function from a backbone class to its aligned class.
    """

    @wrapt.when_imported("keras_hub")
    def register(keras_hub):
        names = keras.saving.get_custom_objects()
        for backbone in list(_subclasses(keras_hub.models.Backbone)):
            door = _door(backbone, host_class(backbone))
            _DOORS[backbone.__name__] = door
            names[f"{_PACKAGE}>{backbone.__name__}"] = door


def name_aligned_class(folder):
    """Makes a preset name the class that leads to the aligned backbone.

    Args:
        folder: string or path, the preset of an aligned backbone.
    """
    file = pathlib.Path(folder) / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["registered_name"] = f"{_PACKAGE}>{config['class_name']}"
    file.write_text(json.dumps(config, indent=4), encoding="utf-8")


def is_known(backbone):
    """Whether a backbone class can be found again by the name in a preset."""
    door = _DOORS.get(backbone.__name__)
    return door is not None and door.plain is backbone


def _door(plain, aligned):
    names = {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "plain": plain,
    }
    return _meta(type(plain))(plain.__name__, (aligned,), names)


@functools.cache
def _meta(meta):
    """Subclass of a metaclass for classes that equal the class they stand for."""

    def equals(cls, other):
        return other is cls or other is cls.plain

    def hash_(cls):
        return hash(cls.plain)

    return type("Door", (meta,), {"__eq__": equals, "__hash__": hash_})


def _subclasses(cls):
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
