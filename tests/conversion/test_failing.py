"""A conversion that is refused or fails leaves the model as it was."""

import keras
import numpy as np
import pytest
import small_models
from model_state import aligned_paths, state

import keras_align
from keras_align.alignments import Alignment, register_alignment
from keras_align.conversion import align_model, aligning, strip_alignment
from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")


@register_alignment("fragile")
class Fragile(Alignment):
    """An alignment that cannot be built when `remaining` is used up."""

    remaining = 1

    def build(self, query_shape, key_shape=None):
        if Fragile.remaining == 0:
            raise RuntimeError("no more")
        Fragile.remaining -= 1
        self.scale = self.add_weight(shape=(), name="scale")


class OwnAttention(keras.layers.MultiHeadAttention):
    """Attention of a user, with a `call` of its own."""

    def call(self, query, value, key=None, training=None):
        return super().call(query, value, key, training=training)


def test_a_failure_half_way_is_undone():
    for name in ("functional", "backbone", "subclassed"):
        model = small_models.BUILDERS[name]()
        before = state(model)
        Fragile.remaining = 1
        weight = keras.Variable(0.5)
        with pytest.raises(RuntimeError, match="no more"):
            align_model(model, alignment="fragile", alignment_weight=weight)
        assert state(model) == before and weight.trainable


def test_a_failure_to_compile_again_is_undone(monkeypatch):
    def fail(prepared, undo):
        raise RuntimeError("cannot compile")

    model = small_models.compile_model(small_models.pieces(), "pieces")
    before = state(model)
    monkeypatch.setattr(aligning, "recompile", fail)
    with pytest.raises(RuntimeError, match="cannot compile"):
        align_model(model)
    assert state(model) == before


def test_a_strip_that_fails_is_undone(monkeypatch):
    model = align_model(small_models.functional())
    small_models.compile_model(model, "functional")
    small_models.train(model, "functional")
    model.predict(small_models.vectors(), verbose=0)  # leaves no losses behind
    before, weights = state(model), model.get_weights()
    optimizer, compile_again = model.optimizer, keras.Model.compile
    calls = []

    def fail_once(model, **arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("cannot compile")
        compile_again(model, **arguments)

    monkeypatch.setattr(keras.Model, "compile", fail_once)
    with pytest.raises(RuntimeError, match="cannot compile"):
        strip_alignment(model)
    assert state(model) == before and model.optimizer is optimizer
    for value, wanted in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(value, wanted)
    small_models.train(model, "functional")


def test_an_undone_layer_keeps_the_alignment_none_of_its_constructor():
    layer = keras_align.AlignedMultiHeadAttention(2, 8, alignment=None, name="none")
    inputs = keras.Input((None, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="plain")(inputs, inputs)
    model = keras.Model(inputs, layer(x, x))
    before = state(model)
    Fragile.remaining = 1
    with pytest.raises(RuntimeError, match="no more"):
        align_model(model, alignment="fragile")
    assert state(model) == before
    align_model(model)
    assert len(aligned_paths(model)) == 2


def test_an_unbuilt_model_is_an_error_with_its_remedy():
    for model in (small_models.Encoder(), small_models.Block()):
        with pytest.raises(ValueError, match=r"Call (it|the model) once on data"):
            align_model(model)
        assert not model.built


def test_a_model_without_attention_is_an_error():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="has no attention layer of a supported"):
        align_model(model)
    with pytest.raises(ValueError, match="has no aligned attention"):
        strip_alignment(model)
    with pytest.raises(ValueError, match="Argument `model` must be"):
        align_model("model")


def test_attention_of_unknown_classes_is_named():
    inputs = keras.Input((None, 16))
    x = OwnAttention(2, 8, name="own")(inputs, inputs)
    with pytest.raises(ValueError, match=r"other classes: \['own \(OwnAttention"):
        align_model(keras.Model(inputs, x))
    y = keras.layers.MultiHeadAttention(2, 8, name="plain")(x, x)
    model = align_model(keras.Model(inputs, y))
    own = alignment_report(model).rows[-1]
    assert (own.path, own.alignment) == ("own", None)
    assert type(model.get_layer("own")) is OwnAttention


def test_a_call_without_the_argument_training_is_an_error():
    class WithoutTraining(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = small_models.Block()

        def call(self, x):
            return self.block(x)

    model = WithoutTraining()
    model(small_models.vectors())
    with pytest.raises(ValueError, match=r"WithoutTraining\.call` has no argument"):
        align_model(model)
    assert aligned_paths(model) == []
