"""Parameters of which a few are enough by default."""

import pytest


def slow_but(quick, values):
    """The values as parameters of a test, all but those in `quick` marked slow."""
    return [
        pytest.param(each, marks=[] if each in quick else [pytest.mark.slow])
        for each in values
    ]
