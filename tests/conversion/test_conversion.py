"""align_model, strip_alignment and alignment_report, in memory."""

import keras
import numpy as np
import pytest
import small_models
from execution import BACKEND
from model_state import state

import keras_align
from keras_align.alignments import Alignment, register_alignment
from keras_align.conversion import align_model, aligning, strip_alignment
from keras_align.diagnostics import alignment_report

NAMES = list(small_models.BUILDERS)


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


def paths(model):
    """Paths of the aligned layers."""
    return [row.path for row in alignment_report(model).aligned]


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


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNTRAINED])
def test_training_moves_every_alignment_and_strip_leaves_no_trace(name):
    model = small_models.compile_model(small_models.BUILDERS[name](), name)
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


def test_a_weight_that_is_a_variable_leaves_with_the_alignment():
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
    assert len(paths(model)) == 1
    (layer,) = (x for x in model._flatten_layers() if hasattr(x, "alignment"))
    assert len(model.weights) == before + len(layer.alignment.weights)


CHOICES = {
    "name": ("self_attention_layer", [0, 1, 2]),
    "name of the layer around": ("transformer_layer_1", [1]),
    "path": ("transformer_layer_2/self_attention_layer", [2]),
    "index": (1, [1]),
    "NumPy index": (np.int64(0), [0]),
    "negative index": (-1, [2]),
    "predicate": (lambda layer: "_1/" in layer.path, [1]),
    "list": ([-1, "transformer_layer_0"], [0, 2]),
    "tuple": ((0, 0), [0]),
    "range": (range(1, 3), [1, 2]),
    "array": (np.array([0, 2]), [0, 2]),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_layers_are_chosen(choice):
    layers, expected = CHOICES[choice]
    model = small_models.backbone(layers=3)
    every = [row.path for row in alignment_report(model).rows]
    align_model(model, layers=layers)
    assert paths(model) == [every[index] for index in expected]
    strip_alignment(model)
    assert paths(model) == []


def test_a_layer_chooses_itself():
    model = small_models.functional()
    align_model(model, layers=model.get_layer("cross"))
    assert paths(model) == ["cross"]


def test_layers_may_have_different_alignments():
    model = align_model(small_models.functional(), "mmd", 0.5, layers="self")
    align_model(model, "gan", 0.25, layers="cross")
    rows = alignment_report(model).rows
    kinds = [type(model.get_layer(row.path).alignment).__name__ for row in rows]
    assert kinds == ["MaximumMeanDiscrepancyAlignment", "AdversarialAlignment"]
    assert [row.alignment_weight for row in rows] == [0.5, 0.25]


WRONG = {
    "alignment": ({"alignment": "sinkhorn"}, "`alignment` must be one of"),
    "no alignment": ({"alignment": None}, "alignment=None"),
    "weight": ({"alignment_weight": -1.0}, "alignment_weight=-1.0"),
    "index": ({"layers": 2}, "from -2 to 1. Received: 2"),
    "negative index": ({"layers": -3}, "from -2 to 1. Received: -3"),
    "name": ({"layers": "layer"}, "'layer' matches none of"),
    "one of two names": ({"layers": [0, "layer"]}, "'layer' matches none of"),
    "predicate": ({"layers": lambda layer: False}, "matches none of"),
    "nothing": ({"layers": []}, "at least one layer"),
    "type": ({"layers": 1.5}, "`layers` must be None"),
    "boolean": ({"layers": True}, "`layers` must be None"),
    "other layer": ({"layers": keras.layers.Dense(1)}, "matches none of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named_and_changes_nothing(case):
    options, message = WRONG[case]
    model = small_models.pieces()
    before = state(model)
    with pytest.raises(ValueError, match=message):
        align_model(model, **options)
    assert state(model) == before


def test_aligning_twice_names_the_remedy():
    model = align_model(small_models.functional())
    before = state(model)
    with pytest.raises(ValueError, match="strip_alignment"):
        align_model(model, "mmd", layers="self")
    assert state(model) == before


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


class Awkward(keras.optimizers.SGD):
    """An optimizer that cannot be rebuilt, as one with a lambda for its rate."""

    def get_config(self):
        raise TypeError("cannot serialise")


def compiled_twice():
    """A trained model inside a trained one, whose optimizer cannot be rebuilt."""
    inner = small_models.compile_model(small_models.functional(), "functional")
    small_models.train(inner, "functional")
    outer = keras.Sequential([inner])
    outer.compile(Awkward(), "mse")
    x = small_models.vectors()
    outer.fit(x, outer.predict(x, verbose=0), verbose=0)
    return outer, inner


def test_an_optimizer_that_cannot_be_rebuilt_is_found_before_anything_changes():
    outer, inner = compiled_twice()
    before, optimizers = state(inner), (outer.optimizer, inner.optimizer)
    steps = int(inner.optimizer.iterations)
    assert steps > 0
    with pytest.raises(ValueError, match="cannot be rebuilt.*cannot serialise"):
        align_model(outer)
    assert state(inner) == before
    assert (outer.optimizer, inner.optimizer) == optimizers
    assert int(inner.optimizer.iterations) == steps


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
    assert len(paths(model)) == 2


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
    assert paths(model) == []


def test_a_compiled_model_keeps_its_settings():
    model = small_models.transformer()
    optimizer = keras.optimizers.AdamW(0.02, weight_decay=0.3, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    small_models.train(model, "transformer")
    align_model(model)
    config = optimizer.get_config()
    assert model.optimizer is not optimizer
    assert model.optimizer.get_config() == config
    decays = {w.name: model.optimizer._use_weight_decay(w) for w in model.weights}
    assert not decays["bias"] and decays["kernel"]
    assert (model.loss, model.run_eagerly) == ("mse", True)
    assert model.optimizer.iterations == 0
    small_models.train(model, "transformer")
    logged = {"mae", "alignment_loss"}
    assert logged <= set(model.history.history)


def test_an_optimizer_that_was_not_used_stays():
    model = small_models.compile_model(small_models.functional(), "functional")
    optimizer = model.optimizer
    assert align_model(model).optimizer is optimizer
    assert strip_alignment(model).optimizer is optimizer


def test_a_compiled_model_inside_is_compiled_again():
    inner = small_models.compile_model(small_models.functional(), "functional")
    small_models.train(inner, "functional")
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH))
    align_model(keras.Model(inputs, inner(inputs)), alignment_weight=1.0)
    assert inner.train_function is None
    small_models.train(inner, "functional")
    assert "alignment_loss" in inner.history.history


def test_a_compile_that_cannot_be_repeated_is_an_error():
    class Own(keras.Model):
        def compile(self, step_size):
            super().compile(keras.optimizers.SGD(step_size), "mse")

    inputs = keras.Input((None, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    model = Own(inputs, x)
    model.compile(0.1)
    with pytest.raises(ValueError, match="compile` of its own"):
        align_model(model)
    assert paths(model) == []


def test_a_compile_with_more_arguments_than_keras_keeps_is_an_error():
    class Distiller(keras.Model):
        def compile(self, temperature=1.0, **kwargs):
            super().compile(**kwargs)
            self.temperature = temperature

    inputs = keras.Input((None, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    model = Distiller(inputs, x)
    model.compile(temperature=7.0, optimizer="sgd", loss="mse")
    with pytest.raises(ValueError, match=r"keep: \['temperature'\]"):
        align_model(model)
    assert paths(model) == [] and model.temperature == 7.0


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
    assert paths(model) == []
    with pytest.raises(ValueError, match="has no aligned attention"):
        strip_alignment(model)


def test_mixed_precision_trains_alignments_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = align_model(small_models.functional())
    small_models.train(small_models.compile_model(model, "functional"), "functional")
    added = [w for w in model.weights if "alignment" in w.path]
    assert {w.dtype for w in added} == {"float32"}


def test_the_report_is_a_table_and_data():
    model = align_model(small_models.functional(), "ct", 0.5, layers="cross")
    report = alignment_report(model)
    plain, aligned = report.to_dicts()
    assert plain == {
        "path": "self",
        "class_name": "MultiHeadAttention",
        "num_heads": 2,
        "head_size": 8,
        "alignment": None,
        "alignment_weight": None,
        "added_weights": 0,
        "note": "plain",
    }
    assert (aligned["num_heads"], aligned["head_size"]) == (4, 4)
    added = sum(np.prod(w.shape) for w in model.get_layer("cross").alignment.weights)
    assert aligned["added_weights"] == report.added_weights == added
    lines = str(report).splitlines()
    assert len(lines) == 5 and repr(report) == str(report)
    table = report._repr_html_()
    assert table.count("<tr>") == 3 and table.endswith(f"<p>{lines[-1]}</p>")
    assert all(f"<td>{row.path}</td>" in table for row in report.rows)
    assert "1 of 2 attention layers aligned" in lines[-1]


def test_the_report_says_that_an_aligned_layer_is_frozen():
    model = small_models.functional()
    model.get_layer("self").trainable = False
    notes = [row.note for row in alignment_report(align_model(model)).rows]
    assert notes == ["frozen", ""]
