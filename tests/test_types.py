"""Signatures of public functions and classes say the types of all arguments."""

import importlib
import inspect
import pkgutil

import pytest

import keras_align

pytestmark = pytest.mark.backends("tensorflow")  # the same on every backend


def public_values(package):
    """Functions and classes that the modules of a package define."""
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for name, value in vars(importlib.import_module(info.name)).items():
            own = getattr(value, "__module__", None) == info.name
            callable_ = inspect.isclass(value) or inspect.isfunction(value)
            if own and callable_ and not name.startswith("_"):
                yield value


def functions_of(value):
    """A function itself; of a class what its users call, and what it inherits of us."""
    if not inspect.isclass(value):
        return {value}
    found = set()
    for cls in inspect.getmro(value):
        if cls.__module__.split(".")[0] != "keras_align":
            continue
        for name, member in vars(cls).items():
            if isinstance(member, property):
                member = member.fget
            member = inspect.unwrap(getattr(member, "__func__", member))
            public = not name.startswith("_") or name in ("__init__", "__call__")
            # Aligned layers have the `call` of Keras's, as Keras wrote its signature.
            of_keras = getattr(member, "__module__", "").startswith("keras.")
            if public and inspect.isfunction(member) and not of_keras:
                found.add(member)
    return found


def missing_annotations(function):
    """Names of the arguments without a type, `return` among them."""
    signature = inspect.signature(function)
    found = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        found += ["return"] * (function.__name__ != "__init__")
    return found


def report(values):
    functions = {each for value in values for each in functions_of(value)}
    lines = (
        f"{each.__module__}.{each.__qualname__}: {', '.join(missing)}"
        for each in functions
        if (missing := missing_annotations(each))
    )
    return sorted(lines)


def test_public_signatures_have_types():
    values = set(public_values(keras_align))
    of_keras_align = (getattr(keras_align, name) for name in keras_align.__all__)
    assert {each for each in of_keras_align if callable(each)} <= values
    assert report(values) == []


def test_missing_types_are_found():
    class Layer:
        __module__ = "keras_align.layers"

        def __init__(self, units, name: str | None = None):
            pass

        @property
        def size(self):
            return 1

        def _private(self, x):
            pass

        @classmethod
        def from_config(cls, config: dict):
            pass

    found = [line.split("Layer.")[1] for line in report([Layer])]
    assert found == ["__init__: units", "from_config: return", "size: return"]
