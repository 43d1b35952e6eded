"""Checks of arguments: each raises a ValueError that names the argument."""

import numbers


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
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < 1:
        raise ValueError(
            f"Argument `{name}` must be a positive integer. Received: {name}={value!r}"
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
