"""Formulas over all pairs at once, and by chunks of two rows."""

import pytest

from keras_align.divergences import chunks


@pytest.fixture(params=["whole", "in chunks"])
def whole_or_in_chunks(request, monkeypatch):
    if request.param == "in chunks":
        monkeypatch.setattr(chunks, "_WHOLE", 0)
        monkeypatch.setattr(chunks, "_ROWS", 2)
