"""Checks of arguments: each raises a ValueError that names the argument."""

import numbers
import os
import re
from typing import Any

import keras

LARGEST_FLOAT = 3.4e38  # float32's
LARGEST_INTEGER = 2**31 - 1  # int32's


def is_number(value: Any) -> bool:
    """Whether `value` is a real number that float32 can hold; no NaN, no infinity."""
    is_real = isinstance(value, numbers.Real)
    return is_real and -LARGEST_FLOAT <= value <= LARGEST_FLOAT


def positive(name: str, value: Any) -> None:
    """Raises unless `value` is a number above zero."""
    if not is_number(value) or value <= 0.0:
        _refuse(name, value, "a positive number")


def not_negative(name: str, value: Any) -> None:
    """Raises unless `value` is a finite number that is not below zero."""
    if not is_number(value) or value < 0.0:
        _refuse(name, value, "a number >= 0")


def positive_integer(name: str, value: Any) -> None:
    """Raises unless `value` is an integer above zero."""
    if not _is_integer(value) or not 0 < value <= LARGEST_INTEGER:
        _refuse(name, value, "a positive integer below 2**31")


def positive_integers(
    name: str, values: Any, length: int | None = None
) -> tuple[int, ...]:
    """Returns integers above zero, one at least, or raises; `length` is how many."""
    described = f"{length} positive integers" if length else "positive integers"
    try:
        values = tuple(values)
    except TypeError:
        _refuse(name, values, described)
    if not values or len(values) != (length or len(values)):
        _refuse(name, values, described)
    for value in values:
        positive_integer(name, value)
    return tuple(map(int, values))


def keras_arguments(title: str, given: Any) -> None:
    """Raises for keyword arguments that are none of `keras.Model`, which drops them."""
    unknown = sorted(set(given) - {"name", "dtype", "trainable"})
    if unknown:
        raise TypeError(f"{title} has no argument {unknown[0]!r}. Received: {unknown}")


def count(name: str, value: Any) -> None:
    """Raises unless `value` is an integer that is not below zero."""
    if not _is_integer(value) or value < 0:
        _refuse(name, value, "an integer >= 0")


def integer_at_least(name: str, value: Any, lowest: int) -> None:
    """Raises unless `value` is an integer that is not below `lowest`."""
    if not _is_integer(value) or not lowest <= value <= LARGEST_INTEGER:
        _refuse(name, value, f"an integer >= {lowest} and below 2**31")


def fraction(name: str, value: Any) -> None:
    """Raises unless `value` is a number in [0, 1]."""
    is_real = isinstance(value, numbers.Real)
    if not is_real or not 0.0 <= value <= 1.0:
        _refuse(name, value, "in [0, 1]")


def dropout_rate(name: str, value: Any) -> None:
    """Raises unless `value` is a number in [0, 1)."""
    if not is_number(value) or not 0.0 <= value < 1.0:
        _refuse(name, value, "a number in [0, 1)")


def boolean(name: str, value: Any, expected: str = "a bool") -> None:
    """Raises unless `value` is a bool."""
    if not isinstance(value, bool):
        _refuse(name, value, expected)


def choice(name: str, value: Any, choices: tuple) -> None:
    """Raises unless `value` is one of `choices`."""
    if value not in choices:
        _refuse(name, value, f"one of {choices}")


def no_float(name: str, mask: Any) -> None:
    """Raises if a mask is of floats, which may be one that is added to scores."""
    if mask is not None and "float" in str(mask.dtype):
        raise ValueError(
            f"Argument `{name}` must be boolean, True for real tokens. "
            f"Received: {name} of dtype {mask.dtype}"
        )


def local_folder(name: str, value: Any) -> None:
    """Raises unless `value` names a folder of the local file system."""
    _local(name, value, "folder")


def local_file(name: str, value: Any) -> None:
    """Raises unless `value` names a file of the local file system."""
    _local(name, value, "file")


def _local(name, value, kind):
    """A path of `pathlib` has lost a slash of the URL that it was made of."""
    is_path = isinstance(value, (str, os.PathLike)) and os.fspath(value)
    if not is_path or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(value)):
        _refuse(name, value, f"the path of a local {kind}, not a URL")


def query_and_key(
    query: dict,
    key: dict,
    query_mask: Any = None,
    key_mask: Any = None,
    features: bool = True,
) -> None:
    """Raises unless queries, keys and masks fit together.

    Args:
        query: dict from a name to a tensor `(B, T, N, H)`.
        key: dict from a name to a tensor `(B, S, N, H)`.
        query_mask: tensor `(B, T)` or `None`.
        key_mask: tensor `(B, S)` or `None`.
        features: bool, whether the tensors have the axis H.
    """
    (query_name, query), (key_name, key) = *query.items(), *key.items()
    query_shape, key_shape = _shape(query_name, query), _shape(key_name, key)
    others = [shape[:1] + shape[2:] for shape in (query_shape, key_shape)]
    axes = "N, H" if features else "N"
    if len(query_shape) != 3 + features or not _fit(*others):
        raise ValueError(
            f"Arguments `{query_name}` and `{key_name}` must be tensors (B, T, {axes}) "
            f"and (B, S, {axes}) that differ in T and S alone. Received: {query_name} "
            f"of shape {query_shape}, {key_name} of shape {key_shape}"
        )
    masks = {"query_mask": (query_mask, query_shape), "key_mask": (key_mask, key_shape)}
    for name, (mask, shape) in masks.items():
        if mask is not None and not _fit(_shape(name, mask), shape[:2]):
            raise ValueError(
                f"Argument `{name}` must be of shape {shape[:2]}, samples and tokens. "
                f"Received: {name} of shape {_shape(name, mask)}"
            )
        if mask is not None and keras.backend.is_float_dtype(_dtype(mask)):
            raise ValueError(  # 0 and -1e9, to be added, would be read the wrong way
                f"Argument `{name}` must be boolean, True for real tokens. Received: "
                f"{name} of dtype {_dtype(mask)}"
            )


def _dtype(x):
    return keras.backend.standardize_dtype(x.dtype)


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _refuse(name, value, expected):
    # Python does not write integers of more than 4,300 digits.
    is_huge = isinstance(value, int) and abs(value) > 10**100
    text = f"an integer of {value.bit_length()} bits" if is_huge else repr(value)
    raise ValueError(f"Argument `{name}` must be {expected}. Received: {name}={text}")


def _shape(name, tensor):
    if not hasattr(tensor, "shape"):
        raise ValueError(
            f"Argument `{name}` must be a tensor. Received: {name}={tensor!r}"
        )
    return tuple(tensor.shape)


def _fit(shape, other):
    """Whether two shapes agree as far as they are known."""
    pairs = zip(shape, other, strict=False)
    return len(shape) == len(other) and all(a == b or None in (a, b) for a, b in pairs)
