"""align_model and strip_alignment: predictions, weights and classes."""

import gc

import keras
import numpy as np
import pytest
import small_models
from execution import BACKEND
from model_state import aligned_paths, state
from parameters import slow_but

import keras_align
from keras_align.conversion import align_model, strip_alignment
from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")

NAMES = list(small_models.BUILDERS)


@pytest.mark.parametrize("name", NAMES)
def test_alignment_changes_no_prediction_and_strip_is_its_inverse(name):
    model = small_models.BUILDERS[name]()
    before, values = state(model), small_models.predict(model, name)
    assert align_model(model) is model
    assert alignment_report(model).aligned == alignment_report(model).rows
    assert all(row.added_weights > 0 for row in alignment_report(model).rows)
    np.testing.assert_array_equal(small_models.predict(model, name), values)
    assert model.losses == []
    assert strip_alignment(model) is model
    assert state(model) == before
    np.testing.assert_array_equal(small_models.predict(model, name), values)


# Without a loss; and on JAX, where Keras runs a model's own `call` directly, what is in
# it (plain dropout too) trains only if `call` hands its `training` on.
UNTRAINED = {"backbone"} | ({"subclassed"} if BACKEND == "jax" else set())


TRAINED = [name for name in NAMES if name not in UNTRAINED]
QUICK = "functional", "shared", "subclassed", "classifier"


@pytest.mark.parametrize("name", slow_but(QUICK, TRAINED))
def test_training_moves_every_alignment_and_strip_leaves_no_trace(name):
    model, traced = small_models.BUILDERS[name](), name == "transformer"
    small_models.compile_model(model, name, traced)
    classes, attributes = (state(model)[key] for key in ("classes", "attributes"))
    names = [weight.path for weight in model.weights]
    align_model(model, alignment_weight=1.0)
    added = [w for w in model.trainable_weights if "alignment" in w.path]
    assert len(model.weights) > len(names)
    start = [weight.numpy() for weight in added]
    small_models.train(model, name)
    moved = [
        not np.array_equal(old, new.numpy())
        for old, new in zip(start, added, strict=True)
    ]
    assert all(moved)
    values = small_models.predict(model, name)
    strip_alignment(model)
    assert state(model)["classes"] == classes
    assert state(model)["attributes"] == attributes
    assert [weight.path for weight in model.weights] == names
    assert "alignment_loss" not in [metric.name for metric in model.metrics]
    np.testing.assert_array_equal(small_models.predict(model, name), values)


def test_new_weights_have_the_paths_of_their_layer():
    model = align_model(small_models.backbone())
    for row in alignment_report(model).rows:
        layer = next(x for x in model._flatten_layers() if x.path == row.path)
        assert len(layer.alignment.weights) > 0
        assert all(w.path.startswith(row.path + "/") for w in layer.alignment.weights)


def test_every_layer_gets_an_alignment_of_its_own():
    given = keras_align.ConditionalTransportAlignment(hidden_dim=24)
    model = align_model(small_models.backbone(), alignment=given)
    layers = [x for x in model._flatten_layers() if hasattr(x, "alignment")]
    first, second = (layer.alignment for layer in layers)
    assert first.hidden_dim == second.hidden_dim == 24
    assert len({id(first), id(second), id(given)}) == 3
    assert not given.built
    assert not np.array_equal(first.weights[0].numpy(), second.weights[0].numpy())


@pytest.mark.parametrize("name", ["ct", "gan", "ot", "mmd"])
def test_the_default_weight_is_the_alignments_own(name):
    model = align_model(small_models.functional(), alignment=name)
    default = keras_align.alignments.get_alignment(name).default_weight
    weights = [row.alignment_weight for row in alignment_report(model).rows]
    assert weights == [default, default]


def test_a_weight_that_is_a_variable_leaves_with_the_alignment(monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: pytest.fail("takes long"))
    model = small_models.compile_model(small_models.functional(), "functional")
    before = state(model)
    weight = keras.Variable(0.5, dtype="float32")
    align_model(model, alignment_weight=weight)
    assert [row.alignment_weight for row in alignment_report(model).rows] == [0.5, 0.5]
    assert not any(each is weight for each in model.trainable_weights)
    strip_alignment(model)
    assert state(model) == before


def test_a_shared_layer_is_aligned_once():
    model = small_models.shared()
    before = len(model.weights)
    align_model(model, alignment="ct")
    assert len(aligned_paths(model)) == 1
    (layer,) = (x for x in model._flatten_layers() if hasattr(x, "alignment"))
    assert len(model.weights) == before + len(layer.alignment.weights)


def test_a_model_built_with_aligned_layers_is_stripped():
    inputs = keras.Input((None, 16))
    x = keras_align.AlignedMultiHeadAttention(2, 8, name="multi")(inputs, inputs)
    x = keras_align.AlignedGroupedQueryAttention(4, 4, 2, name="grouped")(x, x)
    model = strip_alignment(keras.Model(inputs, x))
    assert type(model.get_layer("multi")) is keras.layers.MultiHeadAttention
    assert type(model.get_layer("grouped")) is keras.layers.GroupQueryAttention
    assert not [w.path for w in model.weights if "align" in w.path]


def test_a_backbone_inside_of_an_aligned_model_may_be_stripped():
    model = align_model(small_models.classifier())
    strip_alignment(model.backbone)
    assert aligned_paths(model) == []
    with pytest.raises(ValueError, match="has no aligned attention"):
        strip_alignment(model)


def test_mixed_precision_trains_alignments_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = align_model(small_models.functional())
    small_models.train(small_models.compile_model(model, "functional"), "functional")
    added = [w for w in model.weights if "alignment" in w.path]
    assert {w.dtype for w in added} == {"float32"}
