"""Batches without samples, values that are no probabilities, classes left out."""

import keras
import numpy as np
import pytest
from calibration_oracle import measure, oracle, random_predictions
from execution import BACKEND, QUICK_JIT, compiled
from hypothesis import given
from hypothesis import strategies as st

from keras_align.metrics import ExpectedCalibrationError

pytestmark = pytest.mark.slow_on("jax")


@pytest.mark.parametrize(
    "true_shape, pred_shape",
    [
        ((0,), (0, 3)),
        ((0, 1), (0, 1)),
        ((0,), (0,)),
        ((0, 3), (0, 3)),
        ((2, 0), (2, 0, 3)),
    ],
)
def test_an_empty_batch_changes_nothing(true_shape, pred_shape):
    labels, probabilities = random_predictions()
    metric = ExpectedCalibrationError()
    metric.update_state(labels, probabilities)
    expected = [keras.ops.convert_to_numpy(x) for x in metric.variables]
    metric.update_state(np.zeros(true_shape, "int32"), np.zeros(pred_shape, "float32"))
    metric.update_state(
        np.zeros(true_shape, "int32"),
        np.zeros(pred_shape, "float32"),
        sample_weight=np.zeros(true_shape[: max(len(pred_shape) - 1, 1)]),
    )
    for variable, value in zip(metric.variables, expected, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert float(metric.result()) == pytest.approx(oracle(labels, probabilities))


@pytest.mark.backends("tensorflow")
def test_an_empty_batch_of_unknown_size_changes_nothing():
    import tensorflow as tf

    metric = ExpectedCalibrationError()
    specs = tf.TensorSpec([None], "int32"), tf.TensorSpec([None, 3], "float32")
    update = tf.function(metric.update_state, input_signature=specs)
    labels, probabilities = random_predictions()
    update(labels.astype("int32"), probabilities)
    update(np.zeros(0, "int32"), np.zeros((0, 3), "float32"))
    assert float(metric.result()) == pytest.approx(oracle(labels, probabilities))


NAN, INF = float("nan"), float("inf")
NO_PROBABILITIES = {
    "logits": [[4.0, -3.0], [-5.0, 6.0]],
    "logits that sum to one": [[4.0, -3.0]],
    "logits of one output": [[0.2], [1.7]],
    "negative logits of one output": [-0.2, 0.7],
    "percent": [[90.0, 10.0]],
    "scores": [[0.9, 0.8]],
    "zeros": [[0.0, 0.0]],
    "nan": [[0.5, 0.5], [NAN, 0.5]],
    "infinite": [[INF, 0.0]],
}


@pytest.mark.parametrize("y_pred", NO_PROBABILITIES.values(), ids=NO_PROBABILITIES)
def test_what_is_no_probability_is_refused(y_pred):
    labels = np.zeros(len(y_pred), "int32")
    with pytest.raises(ValueError, match=r"`y_pred` must hold probab.*y_pred\[\d\]="):
        measure(labels, np.float32(y_pred))


@pytest.mark.parametrize("name", ["logits", "logits of one output", "nan"])
@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch sees all values")
def test_in_a_traced_function_it_makes_the_result_nan(name):
    metric = ExpectedCalibrationError()

    def update(y_true, y_pred):
        state = metric.stateless_update_state(
            [v.value for v in metric.variables], y_true, y_pred
        )
        return metric.stateless_result(state)

    y_pred = np.float32(NO_PROBABILITIES[name])
    labels = np.zeros(len(y_pred), "int32")
    assert np.isnan(float(compiled(update)(labels, y_pred)))


@pytest.mark.parametrize("y_pred", [[[NAN, 0.0]], [[-INF, -INF]], [[NAN]]])
def test_logits_without_a_softmax_are_refused(y_pred):
    with pytest.raises(ValueError, match="logits whose softmax is not NaN"):
        measure([0], y_pred, from_logits=True)
    assert measure([0], [[-INF, 3.0]], from_logits=True) == 1.0


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_a_class_that_does_not_exist_is_refused(label):
    _, probabilities = random_predictions(2)
    with pytest.raises(ValueError, match=rf"`y_true` must.*y_true\[1\]={label}"):
        measure([0, label], probabilities)


def test_values_without_weight_may_be_anything():
    labels, probabilities = random_predictions(6)
    expected = measure(labels[:4], probabilities[:4])
    labels[4:], probabilities[4:] = -1, NAN
    assert measure(labels, probabilities, [1, 1, 1, 1, 0, 0]) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("classes", [2, 30000])
def test_a_softmax_in_half_precision_is_taken(dtype, classes):
    logits = np.random.default_rng(0).normal(size=(8, classes)) * np.repeat(
        [[0.01], [3.0]], 4, axis=0
    )
    half = keras.ops.softmax(keras.ops.cast(logits, dtype), axis=-1)
    same = keras.ops.convert_to_numpy(keras.ops.cast(half, "float32"))
    labels = np.arange(8) % 2
    assert measure(labels, half) == pytest.approx(oracle(labels, same), rel=1e-4)
    assert measure(labels, same) == measure(labels, half)


@given(st.data())
def test_ignored_classes_are_as_if_they_were_not_there(data):
    """Against the oracle of the other samples; in Keras, such a loss is masked."""
    count = data.draw(st.integers(1, 12))
    ignore_class = data.draw(st.sampled_from([-1, 0, 2, 255]))
    labels, probabilities = random_predictions(count, seed=count)
    drop = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    labels[drop] = ignore_class
    kept = labels != ignore_class
    weights = np.random.default_rng(0).integers(0, 3, count)
    expected = oracle(labels[kept], probabilities[kept], weights=weights[kept])
    received = measure(labels, probabilities, weights, ignore_class=ignore_class)
    assert received == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("ignore_class", ["a", 1.0, True])
def test_wrong_ignore_class(ignore_class):
    with pytest.raises(ValueError, match="`ignore_class` must be an integer or None"):
        ExpectedCalibrationError(ignore_class=ignore_class)


def test_ignore_class_in_fit_counts_what_the_loss_of_keras_counts():
    """In mixed precision, with logits and weights of tokens."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 4, 5)).astype("float32")
    y = rng.integers(-1, 3, (10, 4))
    weights = rng.integers(1, 3, (10, 4)).astype("float32")
    options = {"from_logits": True, "ignore_class": -1}
    policy = "mixed_bfloat16"
    layers = [keras.Input((4, 5)), keras.layers.Dense(3, dtype=policy)]
    model = keras.Sequential(layers)
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(**options),
        weighted_metrics=[ExpectedCalibrationError(name="ece", **options)],
        jit_compile=QUICK_JIT,
    )
    model.fit(x, y, sample_weight=weights, batch_size=5, verbose=0)
    logs = model.evaluate(
        x, y, sample_weight=weights, batch_size=5, verbose=0, return_dict=True
    )
    logits = keras.ops.cast(model(x), "float32")
    scores = keras.ops.convert_to_numpy(keras.ops.softmax(logits)).reshape(-1, 3)
    kept, y, weights = y.reshape(-1) != -1, y.reshape(-1), weights.reshape(-1)
    expected = oracle(y[kept], scores[kept], weights=weights[kept])
    assert logs["ece"] == pytest.approx(expected, rel=2e-3)


def test_labels_between_two_classes_are_refused():
    metric = ExpectedCalibrationError()
    with pytest.raises(ValueError, match="`y_true` must hold classes"):
        metric.update_state(np.array([0.5, 0.3]), np.array([0.5, 0.3]))


@pytest.mark.parametrize("name", ["y_true", "y_pred", "sample_weight"])
def test_texts_are_refused(name):
    arguments = {"y_true": [0, 1], "y_pred": [[0.9, 0.1], [0.2, 0.8]]}
    arguments |= {"sample_weight": [1.0, 1.0], name: ["0", "1"]}
    metric = ExpectedCalibrationError()
    with pytest.raises(ValueError, match=rf"`{name}` must hold numbers.*'0'"):
        metric.update_state(**arguments)
    assert float(metric.result()) == 0.0
