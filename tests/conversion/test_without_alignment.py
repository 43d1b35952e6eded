"""`without_alignment`: a model that is plain for a while, and goes on as it was."""

import contextlib

import keras
import numpy as np
import pytest
import small_models
from execution import BACKEND, array
from model_state import state

import keras_align
from keras_align import align_model, strip_alignment, without_alignment

pytestmark = pytest.mark.slow_on("jax")


@pytest.mark.parametrize("name", small_models.BUILDERS)
def test_inside_it_is_the_stripped_model_and_afterwards_the_aligned_one(name):
    model = align_model(small_models.BUILDERS[name]())
    values, before = small_models.predict(model, name), state(model)
    variables = list(map(id, model.variables))
    with without_alignment(model) as plain:
        assert plain is model
        inside = state(model)
        np.testing.assert_array_equal(small_models.predict(model, name), values)
    assert state(model) == before
    assert list(map(id, model.variables)) == variables
    assert state(strip_alignment(model)) == inside


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("classifier", "pieces", "shared")
]


@pytest.mark.parametrize("name", ["functional", *SLOW])
def test_training_goes_on_as_if_nothing_had_been(name):
    """Losses, logs, weights and optimizer of two runs of which one was plain once."""
    histories, weights = [], []
    for interrupted in (False, True):
        keras.utils.set_random_seed(0)
        model = small_models.BUILDERS[name]()
        align_model(model, alignment_weight=keras.Variable(1.0, name="weight"))
        small_models.compile_model(model, name)
        schedule = keras_align.AlignmentWeightSchedule(warmup_steps=3)
        histories.append(logs(model, name, schedule))
        if interrupted:
            optimizer = model.optimizer
            with without_alignment(model):
                assert not any("alignment" in v.path for v in model.variables)
            assert model.optimizer is optimizer
        histories.append(logs(model, name, schedule))
        variables = *model.variables, *model.optimizer.variables
        weights.append([variable.numpy() for variable in variables])
    assert histories[:2] == histories[2:]
    assert "alignment_loss" in histories[-1]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def logs(model, name, *callbacks):
    inputs, targets = small_models.data(name)
    options = {"batch_size": 4, "epochs": 1, "shuffle": False, "verbose": 0}
    return model.fit(inputs, targets, callbacks=list(callbacks), **options).history


def test_training_inside_is_plain_and_afterwards_aligned():
    model = align_model(small_models.functional(), "mmd", 1.0)
    small_models.compile_model(model, "functional")
    inside = []
    for _ in range(2):
        assert "alignment_loss" in logs(model, "functional")
        with without_alignment(model):
            inside.append(logs(model, "functional"))
    assert "alignment_loss" in logs(model, "functional")
    assert all("alignment_loss" not in each for each in inside)


def test_training_inside_moves_no_weight_of_an_alignment():
    model = align_model(small_models.functional(), "ct", 1.0)
    small_models.compile_model(model, "functional")
    logs(model, "functional")
    own = [weight for weight in model.weights if "alignment" in weight.path]
    before = [array(weight) for weight in own]
    refused = pytest.raises(ValueError, match="`optimizer_variables`")
    outcome = refused if BACKEND == "jax" else contextlib.nullcontext()
    with without_alignment(model), outcome:
        logs(model, "functional")
    assert len(own) == 24
    for weight, value in zip(own, before, strict=True):
        np.testing.assert_array_equal(array(weight), value)


def test_a_part_of_a_model_leaves_the_log_of_the_whole_right():
    keras.utils.set_random_seed(0)
    inner = keras.Input((small_models.LENGTH, small_models.WIDTH))
    x = keras.layers.MultiHeadAttention(2, 8)(inner, inner)
    inner = keras.Model(inner, x)
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH))
    x = inner(inputs)
    x = keras.layers.MultiHeadAttention(2, 8)(x, x)
    model = keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]))
    align_model(model, "mmd")
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    (before,) = logs(model, "functional")["alignment_loss"]
    with without_alignment(inner):
        pass
    (after,) = logs(model, "functional")["alignment_loss"]
    assert after == pytest.approx(before, rel=1e-5)


def test_an_error_inside_leaves_the_model_aligned():
    model = align_model(small_models.functional())
    before = state(model)
    with pytest.raises(RuntimeError, match="no space"), without_alignment(model):
        raise RuntimeError("no space")
    assert state(model) == before


def test_a_plain_model_stays_as_it_is():
    model = small_models.functional()
    before = state(model)
    with without_alignment(model):
        assert state(model) == before
    assert state(model) == before


def test_what_is_saved_inside_is_plain(tmp_path):
    model = align_model(small_models.pieces())
    with without_alignment(model):
        model.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    assert not keras_align.alignment_report(loaded).aligned
    assert keras_align.alignment_report(model).aligned


@pytest.mark.skipif(BACKEND != "torch", reason="elsewhere see test_exporting.py")
def test_a_saved_model_is_not_of_pytorch(tmp_path):
    with pytest.raises(ValueError, match="backends tensorflow and jax"):
        keras_align.export_saved_model(small_models.functional(), tmp_path / "served")


def test_a_model_may_be_plain_before_it_is_built():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = keras_align.AlignedMultiHeadAttention(2, 4)

        def call(self, x, training=None):
            return self.attention(x, x)

    x = small_models.vectors()
    stripped, other = strip_alignment(Net()), Net()
    stripped(x)
    assert type(stripped.attention) is keras.layers.MultiHeadAttention
    with without_alignment(other):
        other(x)
    assert len(other.weights) == len(stripped.weights)


@pytest.mark.skipif(BACKEND != "torch", reason="parameters are PyTorch's")
def test_the_parameters_of_pytorch_are_those_of_the_variables():
    def model(layer):
        inputs = keras.Input((5, 8))
        return keras.Model(inputs, layer(2, 4, name="attention")(inputs, inputs))

    def check(each, expected):
        parameters = {id(x) for x in each.parameters()}
        assert parameters == {id(x.value) for x in each.variables} and expected(each)
        assert len(each.state_dict()) == len(each.variables)
        trained = {id(x) for x in each.parameters() if x.requires_grad}
        assert trained == {id(x.value) for x in each.trainable_weights}

    aligned = align_model(model(keras.layers.MultiHeadAttention))
    check(aligned, lambda each: len(each.weights) > 8)
    with without_alignment(aligned):
        check(aligned, lambda each: len(each.weights) == 8)
    check(aligned, lambda each: len(each.weights) > 8)
    other = model(keras_align.AlignedMultiHeadAttention)
    other.load_state_dict(aligned.state_dict())
    check(strip_alignment(aligned), lambda each: len(each.weights) == 8)
