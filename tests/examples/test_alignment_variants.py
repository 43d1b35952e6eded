"""The variant of `benchmarks/alignment_variants.py` is what it says."""

import importlib
import pathlib

import numpy as np
import pytest
import sentences

from keras_align.alignments import get_alignment

pytestmark = pytest.mark.backends("tensorflow")


@pytest.fixture
def variants(monkeypatch):
    pytest.importorskip("keras_nlp")
    folder = pathlib.Path(sentences.__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module("alignment_variants")


def test_equal_moments_are_blind_to_shift_and_scale(variants):
    variants.with_equal_moments("mmd")
    alignment = get_alignment("mmd_equal_moments")
    draw = np.random.default_rng(0)
    query, key = draw.normal(size=(2, 3, 7, 2, 4)).astype("float32")
    mask = np.arange(7) < np.array([[7], [5], [2]])
    expected = alignment(query, key, mask, mask)
    moved = 3.0 * query + draw.normal(size=(2, 4)).astype("float32")
    found = alignment(moved, key, mask, mask)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert np.max(expected) > 0.01


def test_the_benchmark_takes_the_variants_by_default(variants, monkeypatch):
    methods, fine_tuning = variants.methods, variants.fine_tuning
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    taken = []
    monkeypatch.setattr(
        fine_tuning,
        "main",
        lambda: taken.extend(fine_tuning.parse_arguments([]).methods),
    )
    variants.main()
    assert taken == ["ct_equal_moments", "mmd_equal_moments"]
    for name in taken:
        method = fine_tuning.choose_method(name, fine_tuning.parse_arguments([]))
        assert method.alignment_weight == variants.WEIGHT
