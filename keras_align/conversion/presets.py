"""Presets of keras-hub that hold aligned models.

`from_preset` asks Keras for the class that a preset names, and takes it only if it
derives from the class that was called. So each backbone of keras-hub has its aligned
class registered under a name of its own, and each task a class that leads to it. They
are made when keras-hub has been imported, which keras_align itself never does.
"""

import json
import pathlib

import keras
import wrapt

_PACKAGE = "keras_align"
_FILES = "config.json", "task.json"


def register_presets(host_class):
    """Registers the aligned classes of keras-hub's backbones once it is imported.

    Args:
        host_class: function from a backbone class to its aligned class.
    """

    @wrapt.when_imported("keras_hub")
    def register(keras_hub):
        for backbone in _subclasses(keras_hub.models.Backbone):
            _register(backbone, host_class(backbone))
        for task in _subclasses(keras_hub.models.Task):
            if task.backbone_cls in _ALIGNED:
                _register(task, _entrance(task))


def name_aligned_classes(folder):
    """Makes the files of a preset name the aligned classes.

    Args:
        folder: string or path, the preset; the backbone has been saved just now.
    """
    for file in (pathlib.Path(folder) / name for name in _FILES):
        config = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        backbone = config.get("config", {}).get("backbone", config)  # of a task
        if str(backbone.get("registered_name")).startswith(f"{_PACKAGE}>"):
            config["registered_name"] = f"{_PACKAGE}>{config['class_name']}"
            file.write_text(json.dumps(config, indent=4), encoding="utf-8")


def is_known(backbone):
    """Whether a backbone class can be found again by the name in a preset."""
    return backbone in _ALIGNED


_ALIGNED = {}  # from a plain class of keras-hub to the class that presets name


def _register(plain, aligned):
    _ALIGNED[plain] = aligned
    names = keras.saving.get_custom_objects()
    names[f"{_PACKAGE}>{plain.__name__}"] = aligned


def _entrance(task):
    """A class by which `from_preset` finds a task with an aligned backbone.

    What it makes is the task of keras-hub.
    """

    def make(cls, *args, **kwargs):
        return task(*args, **kwargs)

    names = {
        "__module__": task.__module__,
        "__qualname__": task.__qualname__,
        "__new__": make,
        "from_config": classmethod(lambda cls, config: task.from_config(config)),
        "backbone_cls": _ALIGNED[task.backbone_cls],
    }
    return type(task)(task.__name__, (task,), names)


def _subclasses(cls):
    for subclass in list(cls.__subclasses__()):
        if subclass not in _ALIGNED.values():
            yield subclass
            yield from _subclasses(subclass)
