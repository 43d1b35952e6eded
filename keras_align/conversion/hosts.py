"""Layers and models whose config does not mention the attention inside them.

A keras-hub `TransformerEncoder` is rebuilt from its sizes: what became of its
attention would be lost when it is saved. Such a host gets a subclass of its class, of
the same name, whose config also says how its attention layers are aligned. All these
subclasses are registered under one name, whose `from_config` rebuilds the plain host
and aligns it again. Hosts whose config holds the configs of their children (functional
models, keras-hub tasks) stay as they are.
"""

import contextlib
import functools
import warnings

import keras

from keras_align import keras_internals
from keras_align.conversion.finding import find_attention, holders
from keras_align.conversion.presets import (
    is_known,
    name_aligned_class,
    register_presets,
)
from keras_align.conversion.supported import (
    PLAIN_CLASSES,
    is_aligned,
    is_supported,
    plain_class,
)
from keras_align.conversion.swapping import make_aligned, options

_PACKAGE, _NAME = "keras_align", "AlignedHost"
_KEY = "keras_align"


class AlignedHost:
    """What a host of aligned attention has beyond its plain class."""

    def get_config(self):
        """The plain config; under one more key the plain class and the alignments."""
        with _plain_class(self):
            config, cls = self.get_config(), type(self)
        host = {
            "module": cls.__module__,
            "class_name": cls.__name__,
            "registered_name": keras.saving.get_registered_name(cls),
            "build_config": self.get_build_config(),
        }
        return {**config, _KEY: {"host": host, **_attention_of(self)}}

    def __reduce__(self):
        load, arguments = super().__reduce__()  # `load` is a method of the class
        return getattr(plain_class(type(self)), load.__name__), arguments

    @classmethod
    def from_config(cls, config):
        if _KEY not in config:  # the config of a plain layer
            return super().from_config(config)
        own = {key: value for key, value in config.items() if key != _KEY}
        host = {**config[_KEY]["host"], "config": own}
        known = {}  # the class of a host that is at hand needs no registration
        if hasattr(cls, "hosted_class"):
            known[host["class_name"]] = plain_class(cls)
        host = keras.saving.deserialize_keras_object(host, custom_objects=known)
        make_host(host)
        host.__dict__["_pending_alignments"] = config[_KEY]
        if keras_internals.has_build(host):
            keras_internals.when_built(host, functools.partial(_restore, host))
        else:
            _restore(host)
        return host


_register = keras.saving.register_keras_serializable(_PACKAGE, _NAME)
_register(AlignedHost)


def needs_host(layer):
    """Whether a layer's config leaves out the alignment of attention inside it."""
    if isinstance(layer, AlignedHost) or type(layer).__module__.startswith("keras."):
        return False
    aligned = sum(is_aligned(each.layer) for each in find_attention(layer)[0])
    try:
        with warnings.catch_warnings(action="ignore"):
            config = keras.saving.serialize_keras_object(layer)
    except Exception:  # without a config it cannot be saved, and Keras will say so
        return True
    return _described(config, set()) < aligned


def make_host(layer):
    """Lets the layer's config carry the alignment of the attention inside it."""
    if not isinstance(layer, AlignedHost):
        layer.__class__ = _host_class(type(layer))


def leave_host(layer):
    """Gives a host its plain class back."""
    if isinstance(layer, AlignedHost):
        layer.__class__ = type(layer).hosted_class


@functools.cache
def _host_class(hosted):
    """The subclass of a class for hosts, with its name."""
    names = {
        "__module__": hosted.__module__,
        "__qualname__": hosted.__qualname__,
        "hosted_class": hosted,
    }
    if hasattr(hosted, "save_to_preset"):
        names["save_to_preset"] = _save_to_preset
    cls = type(hosted)(hosted.__name__, (AlignedHost, hosted), names)
    _register(cls)
    _register(AlignedHost)  # the name must lead to this class, not to the latest host
    return cls


def _save_to_preset(self, preset_dir, *args, **kwargs):
    """`save_to_preset` of a backbone, as a preset that leads to its aligned class."""
    plain = plain_class(type(self))
    if not is_known(plain):
        raise NotImplementedError(
            f"Only backbones of keras-hub, and tasks whose attention is all in the "
            f"backbone, can be aligned in a preset. Received: {plain.__name__} "
            f"'{self.name}'. Use `model.save(...)`, or call "
            "`keras_align.strip_alignment(model)` first."
        )
    plain.save_to_preset(self, preset_dir, *args, **kwargs)
    name_aligned_class(preset_dir)


register_presets(_host_class)


@contextlib.contextmanager
def _plain_class(host):
    """Makes a host look plain, as Keras derives configs from the class."""
    cls = type(host)
    host.__class__ = plain_class(cls)
    try:
        yield
    finally:
        host.__class__ = cls


def _attention_of(host):
    """How each attention layer in the host is aligned, in the order of finding."""
    pending = vars(host).get("_pending_alignments")
    if pending is not None:
        return {key: value for key, value in pending.items() if key != "host"}
    layers = [each.layer for each in find_attention(host)[0]]
    return {
        "alignments": [options(layer) for layer in layers],
        "classes": [plain_class(type(layer)).__name__ for layer in layers],
    }


def _restore(host):
    """Aligns the attention layers of a rebuilt host as its config says.

    Layers inside that are not built may still make some: it then waits for them.
    """
    described = host.__dict__.get("_pending_alignments")
    if described is None:
        return
    alignments = described["alignments"]
    found, _ = find_attention(host)
    remedy = _registration(host, described.get("classes", []))
    unbuilt = [x for x in keras_internals.flattened(host) if _may_make_layers(x)]
    if len(found) < len(alignments) and unbuilt and not remedy:
        for layer in unbuilt:
            keras_internals.when_built(layer, functools.partial(_restore, host))
        return
    if len(found) != len(alignments):
        raise ValueError(
            f"The config of {type(host).__name__} '{host.name}' describes "
            f"{len(alignments)} attention layers, but {len(found)} were rebuilt: "
            f"{[each.path for each in found]}.{remedy}"
        )
    del host.__dict__["_pending_alignments"]
    for each, option in zip(found, alignments, strict=True):
        if option is not None:
            align = functools.partial(_align_once, host, each, option)
            keras_internals.when_built(each.layer, align)


def _may_make_layers(layer):
    """Whether a layer is to be built by a `build` of its own, not by Keras's."""
    own = keras_internals.has_build(layer) and not layer.built
    return own and not type(layer).__module__.startswith("keras.")


def _registration(host, classes):
    """What to register so that the attention layers of a host are found again."""
    rebuilt = [x for x in keras_internals.flattened(host) if not is_supported(x)]
    names = {plain_class(type(layer)).__name__ for layer in rebuilt} & {*classes}
    calls = [f"`keras_align.register_attention({name})`" for name in sorted(names)]
    return f" Call {' and '.join(calls)} before loading." if calls else ""


def _align_once(host, found, option):
    if not is_aligned(found.layer):
        make_aligned(found.layer, **option)
    for holder in (found.layer, *holders(host, [found])):
        if needs_host(holder):
            make_host(holder)


def _described(config, seen):
    """Number of aligned attention layers that a serialised config would rebuild.

    What stands in it twice, noted in `seen`, is one.
    """
    if isinstance(config, (list, tuple)):
        return sum(_described(item, seen) for item in config)
    if not isinstance(config, dict):
        return 0
    name = config.get("registered_name")
    of_host = name == f"{_PACKAGE}>{_NAME}"
    if not of_host and name not in map(keras.saving.get_registered_name, PLAIN_CLASSES):
        return sum(_described(value, seen) for value in config.values())
    if repr(config) in seen:
        return 0
    seen.add(repr(config))
    if of_host:
        return sum(each is not None for each in config["config"][_KEY]["alignments"])
    return int(config["config"]["alignment"] is not None)
