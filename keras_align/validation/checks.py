"""Checks of arguments: each raises a ValueError that names the argument."""

import numbers
import os
import re


def positive(name, value):
    """Raises unless `value` is a number above zero."""
    if not isinstance(value, numbers.Real) or not 0.0 < value < float("inf"):
        raise ValueError(
            f"Argument `{name}` must be a positive number. Received: {name}={value!r}"
        )


def not_negative(name, value):
    """Raises unless `value` is a finite number that is not below zero."""
    if not isinstance(value, numbers.Real) or not 0.0 <= value < float("inf"):
        raise ValueError(
            f"Argument `{name}` must be a number >= 0. Received: {name}={value!r}"
        )


def positive_integer(name, value):
    """Raises unless `value` is an integer above zero."""
    _integer(name, value, 1, "a positive integer")


def count(name, value):
    """Raises unless `value` is an integer that is not below zero."""
    _integer(name, value, 0, "an integer >= 0")


def _integer(name, value, least, expected):
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(
            f"Argument `{name}` must be {expected}. Received: {name}={value!r}"
        )


def fraction(name, value):
    """Raises unless `value` is a number in [0, 1]."""
    if not isinstance(value, numbers.Real) or not 0.0 <= value <= 1.0:
        raise ValueError(
            f"Argument `{name}` must be in [0, 1]. Received: {name}={value!r}"
        )


def choice(name, value, choices):
    """Raises unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"Argument `{name}` must be one of {choices}. Received: {name}={value!r}"
        )


def local_folder(name, value):
    """Raises unless `value` names a folder of the local file system.

    A path of `pathlib` has lost a slash of the URL that it was made of.
    """
    is_path = isinstance(value, (str, os.PathLike)) and os.fspath(value)
    if not is_path or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(value)):
        raise ValueError(
            f"Argument `{name}` must name a local folder, by a path and not a URL. "
            f"Received: {name}={value!r}"
        )


def clouds(query, key, query_mask=None, key_mask=None):
    """Raises unless queries, keys and masks fit together.

    Args:
        query: dict from a name to a tensor `(B, T, N, ...)`.
        key: dict from a name to a tensor `(B, S, N, ...)`, of as many axes.
        query_mask: tensor `(B, T)` or `None`.
        key_mask: tensor `(B, S)` or `None`.
    """
    (query_name, query), (key_name, key) = *query.items(), *key.items()
    query_shape, key_shape = _shape(query_name, query), _shape(key_name, key)
    others = [shape[:1] + shape[2:] for shape in (query_shape, key_shape)]
    if len(query_shape) < 3 or not _fit(*others):
        raise ValueError(
            f"Arguments `{query_name}` and `{key_name}` must be tensors (B, T, N, ...) "
            f"and (B, S, N, ...) that differ in T and S alone. Received: {query_name} "
            f"of shape {query_shape}, {key_name} of shape {key_shape}"
        )
    masks = {"query_mask": (query_mask, query_shape), "key_mask": (key_mask, key_shape)}
    for name, (mask, shape) in masks.items():
        if mask is not None and not _fit(_shape(name, mask), shape[:2]):
            raise ValueError(
                f"Argument `{name}` must be of shape {shape[:2]}, samples and tokens. "
                f"Received: {name} of shape {_shape(name, mask)}"
            )


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
