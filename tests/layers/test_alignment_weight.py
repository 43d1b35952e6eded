"""The weight of the alignment: a number or a variable, never a parameter."""

import contracts
import keras
import numpy as np
import pytest
from contracts import functional, tokens
from counted import Counted
from execution import BACKEND, QUICK_JIT, QUICK_STEP, array

from keras_align import align_model

every_layer = pytest.mark.parametrize(
    "subject", contracts.SUBJECTS.values(), ids=contracts.SUBJECTS
)
X = tokens(5, batch=4)


def test_a_variable_weight_changes_without_tracing_again():
    weight = keras.Variable(0.0, name="weight")
    inputs = keras.Input((5, 8))
    counted = Counted()
    first = contracts.MULTI_HEAD.make("mmd", alignment_weight=weight)
    second = contracts.MULTI_HEAD.make("mmd", alignment_weight=weight)
    x = first(counted(inputs), inputs)
    model = keras.Model(inputs, second(x, x))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=QUICK_JIT)

    class Schedule(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            weight.assign(float(epoch))
            self.traces = counted.traces if epoch == 1 else None

    schedule = Schedule()
    logs = model.fit(X, X, epochs=3, verbose=0, callbacks=[schedule]).history
    traces = counted.traces
    steps = np.diff(logs["loss"])
    assert steps[0] == pytest.approx(steps[1], rel=1e-4) and steps[0] > 0.0
    assert steps == pytest.approx([logs["alignment_loss"][0]] * 2, rel=1e-4)
    model.fit(X, X, epochs=2, verbose=0, callbacks=[schedule])
    if BACKEND != "torch":  # it traces nothing
        assert counted.traces == traces == schedule.traces


def test_a_variable_weight_is_a_setting_and_no_parameter(tmp_path):
    weight = keras.Variable(0.25)
    layer = contracts.MULTI_HEAD.make("ct", alignment_weight=weight)
    model = functional(layer)
    model.compile(keras.optimizers.Adam(0.1), "mse", **QUICK_STEP)
    assert all(weight is not each for each in model.trainable_variables)
    model.fit(X, X, verbose=0)
    assert float(weight) == 0.25
    weight.assign(0.75)
    assert layer.get_config()["alignment_weight"] == 0.75
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[-1].alignment_weight == 0.75
    np.testing.assert_array_equal(array(again(X)), array(model(X)))
    model.save_weights(tmp_path / "model.weights.h5")
    plain_number = functional(contracts.MULTI_HEAD.make("ct"))
    plain_number.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(array(plain_number(X)), array(model(X)))


def test_a_variable_weight_is_no_parameter_after_unfreezing():
    weight = keras.Variable(0.25)
    model = functional(keras.layers.MultiHeadAttention(2, 4))
    align_model(model, "mmd", alignment_weight=weight)
    model.trainable = False
    model.trainable = True
    model.compile(keras.optimizers.SGD(1.0), "mse", **QUICK_STEP)
    model.fit(X, X, verbose=0)
    assert (float(weight), weight.trainable) == (0.25, False)


@pytest.mark.parametrize("alignment", contracts.ALIGNMENTS)
def test_default_weight_is_the_alignments_own(alignment):
    layer = contracts.MULTI_HEAD.make(alignment)
    assert layer.alignment_weight == type(layer.alignment).default_weight > 0.0
    assert (
        contracts.MULTI_HEAD.make(alignment, alignment_weight=3).alignment_weight == 3
    )


@every_layer
@pytest.mark.parametrize(
    "wrong",
    [-0.1, float("nan"), float("inf"), "0.1", True, [0.1], keras.Variable([1.0])],
)
def test_wrong_weight(subject, wrong):
    with pytest.raises(ValueError, match=r"`alignment_weight` must be.*Received"):
        subject.make("ct", alignment_weight=wrong)


@every_layer
def test_wrong_alignment(subject):
    with pytest.raises(ValueError, match=r"`alignment` must be.*alignment='cosine'"):
        subject.make("cosine")
    assert subject.make(None).alignment_loss is None
