"""The variants of `benchmarks/alignment_variants.py` are what they say."""

import importlib
import pathlib

import keras
import numpy as np
import pytest
import sentences

import keras_align
from keras_align.alignments import get_alignment

pytestmark = pytest.mark.backends("tensorflow")


@pytest.fixture
def variants(monkeypatch):
    pytest.importorskip("keras_nlp")
    folder = pathlib.Path(sentences.__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module("alignment_variants")


def gradients(model, x):
    """Of the alignment loss alone, by the paths of the weights; `None` left out."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        model(x, training=True)
        loss = sum(model.losses)
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    pairs = zip(model.trainable_variables, found, strict=True)
    return {v.path: np.array(g) for v, g in pairs if g is not None}


def test_constant_inputs_keep_the_gradient_to_the_projections(variants):
    inputs = keras.Input((6, 8))
    hidden = keras.layers.Dense(8, name="below")(inputs)
    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment="mmd")
    model = keras.Model(inputs, layer(hidden, hidden))
    x = np.random.default_rng(0).normal(size=(3, 6, 8)).astype("float32")
    before = gradients(model, x)
    variants.project_constant_inputs(layer)
    after = gradients(model, x)
    assert any("below" in path for path in before)
    assert after and all("query" in path or "key" in path for path in after)
    for path, gradient in after.items():
        np.testing.assert_allclose(gradient, before[path], rtol=1e-4, atol=1e-7)


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
