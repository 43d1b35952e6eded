"""Formulas over all pairs at once, and by chunks of two rows."""

import pytest

from keras_align.divergences import chunks


@pytest.fixture(params=["whole", "in chunks"])
def whole_or_in_chunks(request, monkeypatch):
    if request.param == "in chunks":
        for name, value in {"_WHOLE": 0, "_CHUNK": 0, "_FEWEST": 2}.items():
            monkeypatch.setattr(chunks, name, value)
