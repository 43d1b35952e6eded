"""The schedule of the alignment's weight."""

import contracts
import keras
import numpy as np
import pytest
from contracts import functional, tokens
from counted import Counted
from execution import BACKEND, QUICK_JIT, QUICK_STEP

from keras_align import AlignmentWeightSchedule
from keras_align.conversion import strip_alignment
from keras_align.diagnostics import alignment_report

X = np.tile(tokens(5, batch=2), (4, 1, 1))  # every batch is the same


class Factors(keras.callbacks.Callback):
    """Notes the factor that every step was taken with."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        layer = self.model.layers[-1]
        self.seen.append(float(keras.ops.convert_to_numpy(layer.alignment_factor)))


def compiled(model, rate=0.0, **options):
    model.compile(keras.optimizers.SGD(rate), "mse", **(options or QUICK_STEP))
    return model


def fit(model, schedule, epochs=1):
    factors = Factors()
    logs = model.fit(
        X,
        X,
        batch_size=2,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[schedule, factors],
    )
    return logs.history, factors.seen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0] * 8),
        ({"warmup_steps": 4}, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]),
        ({"warmup_steps": 2, "start_step": 3}, [0, 0, 0, 0, 0.5, 1, 1, 1]),
        ({"warmup": "constant", "start_step": 2}, [0, 0, 1, 1, 1, 1, 1, 1]),
        (
            {"warmup": "cosine", "warmup_steps": 4},
            [0.0, 0.5 - 0.5**1.5, 0.5, 0.5 + 0.5**1.5, 1, 1, 1, 1],
        ),
    ],
)
def test_every_step_has_the_factor_of_the_formula(options, expected):
    model = compiled(functional(contracts.MULTI_HEAD.make("mmd")))
    _, seen = fit(model, AlignmentWeightSchedule(**options), epochs=2)
    assert seen == pytest.approx(expected, abs=1e-6)


def test_the_loss_has_the_factor_and_nothing_is_traced_again():
    inputs = keras.Input((5, 8))
    counted = Counted()
    layer = contracts.MULTI_HEAD.make("mmd", alignment_weight=2.0)
    outputs = layer(counted(inputs), inputs)
    model = compiled(keras.Model(inputs, outputs), jit_compile=QUICK_JIT)
    model.fit(X, X, verbose=0)  # knows the weight as a constant
    plain = model.evaluate(X, X, verbose=0)
    before = counted.traces
    logs, _ = fit(model, AlignmentWeightSchedule(warmup_steps=8), epochs=3)
    traced = counted.traces - before
    added = np.array(logs["loss"]) - plain
    # The optimizer had taken one step before.
    means = [np.mean([1, 2, 3, 4]) / 8, np.mean([5, 6, 7, 8]) / 8, 1.0]
    layer(X[:2], X[:2], training=True)  # the loss with the factor 1
    whole = float(layer.losses[0])
    assert added == pytest.approx(whole * np.array(means), rel=1e-3)
    assert logs["alignment_loss"] == pytest.approx([whole / 2.0] * 3, rel=1e-4)
    fit(model, AlignmentWeightSchedule(warmup_steps=99))
    if BACKEND != "torch":  # it traces nothing
        assert counted.traces == before + traced


def test_a_model_saved_in_the_rise_goes_on_with_it(tmp_path):
    schedule = AlignmentWeightSchedule(warmup_steps=8)
    layer = contracts.MULTI_HEAD.make("ct", alignment_weight=0.5, name="attention")
    model = compiled(functional(layer), 0.1)
    fit(model, schedule)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    (row,) = alignment_report(loaded).rows
    assert row.alignment_weight == 0.5
    assert len(loaded.weights) == len(model.weights)
    (logs, seen), (others, _) = (fit(x, schedule) for x in (loaded, model))
    assert seen == pytest.approx([0.5, 0.625, 0.75, 0.875])
    assert logs["loss"] == pytest.approx(others["loss"], rel=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has none in Keras")
def test_steps_of_one_execution_share_the_mean_of_their_factors():
    model = functional(contracts.MULTI_HEAD.make("mmd"))
    model.compile("sgd", "mse", jit_compile=QUICK_JIT, steps_per_execution=2)
    _, seen = fit(model, AlignmentWeightSchedule(warmup_steps=4), epochs=2)
    assert seen == pytest.approx([0.125, 0.625, 1.0, 1.0])


def test_a_fit_without_it_has_the_whole_weight():
    model = compiled(functional(contracts.MULTI_HEAD.make("mmd")))
    schedule = AlignmentWeightSchedule(warmup_steps=99)
    _, first = fit(model, schedule)
    _, plain = fit(model, keras.callbacks.Callback())
    _, third = fit(model, schedule)
    steps = [step / 99 for step in range(12)]
    assert first + plain + third == pytest.approx([*steps[:4], *[1.0] * 4, *steps[8:]])


def test_nothing_of_it_stays_after_strip():
    model = compiled(functional(contracts.MULTI_HEAD.make("ct")))
    fit(model, AlignmentWeightSchedule(warmup_steps=8))
    strip_alignment(model)
    assert not hasattr(model.layers[-1], "alignment_factor")
    assert not hasattr(model.layers[-1], "_alignment_factor")
    assert not model.non_trainable_variables


@pytest.mark.parametrize(
    "wrong",
    [{"warmup_steps": -1}, {"warmup_steps": 1.5}, {"start_step": -1}, {"warmup": "x"}],
)
def test_wrong_arguments_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        AlignmentWeightSchedule(**wrong)


def test_a_model_without_alignment_is_an_error():
    model = compiled(functional(contracts.MULTI_HEAD.make(None)))
    with pytest.raises(ValueError, match="no aligned attention layer"):
        model.fit(X, X, callbacks=[AlignmentWeightSchedule(4)], verbose=0)
