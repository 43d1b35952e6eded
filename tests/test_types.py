"""Signatures of public functions and classes say the types of all arguments."""

import inspect
import types

import pytest

import keras_align
from keras_align import keras_internals

pytestmark = pytest.mark.backends("tensorflow")  # the same on every backend


def public_values(module):
    """Functions and classes of a module and of the public modules that it names."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            yield from public_values(value)
        elif callable(value):
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
            if public and inspect.isfunction(member):
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


@pytest.mark.xfail(reason="annotations are still being added")
def test_public_signatures_have_types():
    assert report(public_values(keras_align)) == []


def test_signatures_of_keras_internals_and_training_have_types():
    values = [*public_values(keras_internals), keras_align.training.distribute]
    lines = report(values)
    assert not [each for each in lines if ".resuming." not in each]  # to come


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
