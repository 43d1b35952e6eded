"""The logs of training loops that are not Keras's own `fit` step."""

import copy
import gc
import pickle

import contracts
import keras
import numpy as np
import pytest
from contracts import tokens
from execution import BACKEND, QUICK_JIT, QUICK_STEP
from keras import layers, ops

from keras_align.layers.alignment_loss import AlignmentLoss

X = tokens(5, batch=4)
Y = np.arange(4) % 3


class TensorFlowSteps:
    """`train_step` and `test_step` as Keras's guides for TensorFlow write them."""

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return self.updated(loss, y, y_pred)

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        return self.updated(self.compute_loss(y=y, y_pred=y_pred), y, y_pred)

    def updated(self, loss, y, y_pred):
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred, sample_weight=ops.ones(ops.shape(y)))
        return {metric.name: metric.result() for metric in self.metrics}


class TorchSteps(TensorFlowSteps):
    """The same as Keras's guides for PyTorch write them."""

    def train_step(self, data):
        import torch

        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        loss.backward()
        gradients = [weight.value.grad for weight in self.trainable_weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, self.trainable_weights)
        return self.updated(loss, y, y_pred)


class JaxSteps:
    """The same as Keras's guides for JAX write them."""

    def compute_loss_and_updates(self, trainable, non_trainable, x, y, training):
        y_pred, non_trainable, losses = self.stateless_call(
            trainable, non_trainable, x, training=training, return_losses=True
        )
        loss = self.compute_loss(y=y, y_pred=y_pred) + sum(losses)
        return loss, (y_pred, non_trainable)

    def train_step(self, state, data):
        import jax

        trainable, non_trainable, optimizer, metrics = state
        x, y = data[:2]
        compute = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, (y_pred, non_trainable)), gradients = compute(
            trainable, non_trainable, x, y, training=True
        )
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        logs, metrics = self.updated(metrics, loss, y, y_pred)
        return logs, (trainable, non_trainable, optimizer, metrics)

    def test_step(self, state, data):
        trainable, non_trainable, metrics = state
        x, y = data[:2]
        loss, (y_pred, _) = self.compute_loss_and_updates(
            trainable, non_trainable, x, y, training=False
        )
        logs, metrics = self.updated(metrics, loss, y, y_pred)
        return logs, (trainable, non_trainable, metrics)

    def updated(self, states, loss, y, y_pred):
        logs, updated = {}, []
        for metric in self.metrics:
            state = states[len(updated) : len(updated) + len(metric.variables)]
            given = (loss,) if metric.name == "loss" else (y, y_pred)
            state = metric.stateless_update_state(state, *given)
            logs[metric.name] = metric.stateless_result(state)
            updated += state
        return logs, updated


STEPS = {"tensorflow": TensorFlowSteps, "torch": TorchSteps, "jax": JaxSteps}[BACKEND]


class OwnSteps(STEPS, keras.Model):
    """A functional model with steps of its own."""


class OwnMetrics(OwnSteps):
    """It also says itself which metrics it has, as the guides do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy]


def classifier(cls, traced=False, **options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 8))
    x = contracts.MULTI_HEAD.make("mmd", **options)(inputs, inputs)
    model = cls(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    how = {"jit_compile": QUICK_JIT} if traced else QUICK_STEP
    model.compile("sgd", loss, metrics=["accuracy"], **how)
    return model


def train(cls):
    model = classifier(cls, traced=True)
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    logs = model.fit(X, Y, validation_data=(X, Y), **options).history
    return model.layers[1], logs


def test_steps_of_the_guides():
    layer, expected = train(keras.Model)
    same, logs = train(OwnSteps)
    assert "val_alignment_loss" not in {*expected, *logs}
    assert layer.alignment_loss == pytest.approx(expected["alignment_loss"][-1])
    assert same.alignment_loss == pytest.approx(layer.alignment_loss, rel=1e-5)
    if BACKEND != "jax":  # a step of one's own passes the sums to no metric there
        assert logs["alignment_loss"] == pytest.approx(expected["alignment_loss"])


def test_metrics_of_ones_own():
    layer, logs = train(OwnMetrics)
    assert set(logs) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert layer.alignment_loss > 0.0


def test_any_update_changes_nothing():
    layer = contracts.MULTI_HEAD.make("mmd")
    layer(X, X, training=True)
    before = layer.alignment_loss
    (metric,) = layer.metrics
    metric.update_state(Y, X, sample_weight=np.ones(4))
    metric.update_state(Y)
    assert layer.alignment_loss == before > 0.0


def test_callbacks_see_the_loss():
    seen = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(logs["alignment_loss"]))

    stopping = keras.callbacks.EarlyStopping("alignment_loss", mode="max", patience=1)
    model = classifier(keras.Model, alignment_weight=100.0)
    callbacks, options = [Batches(), stopping], {"shuffle": False, "verbose": 0}
    logs = model.fit(X, Y, 2, epochs=9, callbacks=callbacks, **options).history
    losses = logs["alignment_loss"]
    assert len(losses) == 2 and losses[1] < losses[0]  # what stops it
    assert seen[1::2] == pytest.approx(losses, rel=1e-5)
    assert seen[0] != seen[1]


def test_epochs_without_training_keep_the_last_loss():
    model = classifier(keras.Model)
    layer = model.layers[1]
    assert layer.alignment_loss is None
    loss = model.fit(X, Y, verbose=0).history["alignment_loss"][0]
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "accuracy"}
    assert layer.alignment_loss == pytest.approx(loss)


def test_the_state_is_no_weight(tmp_path):
    layer, plain = contracts.MULTI_HEAD.make("mmd"), layers.MultiHeadAttention(2, 4)
    layer(X, X), plain(X, X)
    assert len(layer.weights) == len(plain.weights)
    assert layer.count_params() == plain.count_params()
    assert len(layer.trainable_variables) == len(plain.trainable_variables)
    model = classifier(keras.Model)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[1]
    assert loaded.alignment_loss is None


def test_copies_of_the_metric():
    (metric,) = contracts.MULTI_HEAD.make("mmd", name="first").metrics
    for again in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert isinstance(again, AlignmentLoss) and again.layer_name == "first"
        assert again.result() == {}


@pytest.mark.parametrize("name", ["output", "metric"])
def test_keys_of_the_user_stay(name):
    inputs = keras.Input((5, 8))
    x = contracts.MULTI_HEAD.make("mmd", alignment_weight=0.0)(inputs, inputs)
    x = layers.GlobalAveragePooling1D()(x)
    outputs = {key: layers.Dense(1, name=key)(x) for key in ("alignment", "score")}
    model = keras.Model(inputs, outputs)
    if name == "output":
        model.compile("sgd", dict.fromkeys(outputs, "mse"), **QUICK_STEP)
    else:
        losses = keras.metrics.MeanSquaredError(name="loss")
        mse = dict.fromkeys(outputs, "mse")
        model.compile("sgd", mse, metrics={"alignment": losses}, **QUICK_STEP)
    targets = {key: np.full((4, 1), 5.0) for key in outputs}
    logs = model.fit(X, targets, verbose=0).history
    assert logs["alignment_loss"][0] > 5.0 > logs["alignment_loss_2"][0] > 0.0


@pytest.mark.skipif(BACKEND == "jax", reason="JAX's step reads all losses")
def test_a_loss_that_is_not_trained_is_found():
    class Forgetful(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
            return ops.mean(ops.square(y_pred))

    with pytest.warns(UserWarning, match=r"not part of the loss.*sum\(self.losses\)"):
        classifier(Forgetful, traced=True).fit(X, Y, verbose=0)


def test_a_model_that_hears_nothing_of_training_warns_once():
    class Silent(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = contracts.MULTI_HEAD.make("mmd")

        def call(self, x):
            return self.attention(x, x)

    model = Silent()
    model.compile("sgd", "mse", **QUICK_STEP)
    with pytest.warns(UserWarning, match="no argument `training`") as warned:
        logs = model.fit(X, X, verbose=0, epochs=2).history
    messages = [str(each.message) for each in warned]
    assert sum("no argument `training`" in each for each in messages) == 1
    assert set(logs) == {"loss"}


def test_a_layer_that_keras_does_not_track():
    class Untracked(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(8)
            hidden = contracts.MULTI_HEAD.make("mmd")
            self.get = lambda: hidden

        def call(self, x, training=None):
            return self.get()(self.dense(x), x, training=training)

    model = Untracked()
    model(X)
    model.compile("sgd", "mse", jit_compile=QUICK_JIT)
    for length in (5, 7):
        x = tokens(length, batch=4)
        assert np.isfinite(model.fit(x, x, verbose=0).history["loss"]).all()


def test_a_weight_takes_effect_when_it_is_set():
    model = classifier(keras.Model, traced=True, alignment_weight=0.0)
    model.optimizer.learning_rate = 0.0
    layer, options = model.layers[1], {"verbose": 0, "shuffle": False}

    def loss():
        return model.fit(X, Y, **options).history["loss"][0]

    task = loss()
    layer.alignment_weight = 100.0
    assert loss() == pytest.approx(task + 100.0 * layer.alignment_loss, rel=1e-4)
    layer.alignment_weight = variable = keras.Variable(0.0)
    assert loss() == pytest.approx(task, rel=1e-4)
    variable.assign(10.0)
    assert loss() == pytest.approx(task + 10.0 * layer.alignment_loss, rel=1e-4)
    assert layer.alignment_weight is variable and not variable.trainable
    layer.alignment_weight = 0.02
    assert layer.get_config()["alignment_weight"] == layer.alignment_weight == 0.02
    assert not any(each is variable for each in layer.variables)
    for wrong in (-5.0, float("nan"), "1", 10**400):
        with pytest.raises(ValueError, match="`alignment_weight`.*Received"):
            layer.alignment_weight = wrong
    assert layer.alignment_weight == 0.02
    assert loss() == pytest.approx(task + 0.02 * layer.alignment_loss, rel=1e-4)


@pytest.mark.skipif(BACKEND == "jax", reason="refused, see the next test")
def test_a_variable_takes_the_place_of_a_number_within_a_fit():
    model = classifier(keras.Model, traced=True, alignment_weight=0.0)
    model.optimizer.learning_rate = 0.0
    layer = model.layers[1]

    class Change(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                layer.alignment_weight = keras.Variable(10.0)

    options = {"epochs": 3, "shuffle": False, "verbose": 0}
    logs = model.fit(X, Y, callbacks=[Change()], **options).history
    task, *others = logs["loss"]
    expected = task + 10.0 * layer.alignment_loss
    assert others == pytest.approx([expected] * 2, rel=1e-4)


@pytest.mark.backends("jax")
def test_on_jax_a_variable_takes_the_place_of_a_number_between_fits():
    model = classifier(keras.Model)
    layer = model.layers[1]

    class Change(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            layer.alignment_weight = keras.Variable(10.0)

    with pytest.raises(ValueError, match="`alignment_weight`.*within the `fit`"):
        model.fit(X, Y, callbacks=[Change()], verbose=0)


def test_a_call_of_the_layer_alone_changes_no_log():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 8))
    first, second = (contracts.MULTI_HEAD.make("mmd") for _ in range(2))
    model = keras.Model(inputs, second(first(inputs, inputs), inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", **QUICK_STEP)

    class Alone(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                first(2.0 * X, X, training=True)

    options = {"epochs": 3, "shuffle": False, "verbose": 0}
    logs = model.fit(X, X, callbacks=[Alone()], **options).history
    assert logs["alignment_loss"] == pytest.approx([logs["alignment_loss"][0]] * 3)


def test_nothing_of_a_step_stays_on_the_model():
    for cls in (keras.Model, OwnSteps):
        model = classifier(cls)
        model.fit(X, Y, verbose=0)
        model.evaluate(X, Y, verbose=0)
        assert "compute_loss" not in vars(model)


def test_a_stateless_call():
    model = classifier(keras.Model)
    model(X)
    with keras.StatelessScope():
        y_pred = model(X, training=True)
        model.compute_loss(x=X, y=Y, y_pred=y_pred)
    assert model.layers[1].alignment_loss is None  # nothing was assigned


@pytest.mark.backends("tensorflow")
def test_an_inference_call_within_a_step():
    class Consistent(OwnSteps):
        def train_step(self, data):
            logs = super().train_step(data)
            self(data[0], training=False)
            return {**logs, **self.get_metrics_result()}

    logs = classifier(Consistent, traced=True).fit(X, Y, verbose=0).history
    assert logs["alignment_loss"][0] > 0.0


def test_the_model_of_a_group_may_be_gone():
    layer = contracts.MULTI_HEAD.make("mmd")
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, layer(inputs, inputs))
    model(X, training=True)
    del model
    gc.collect()
    (metric,) = layer.metrics
    assert metric.result() == {}


def test_a_negative_variable_is_refused():
    with pytest.raises(ValueError, match="`alignment_weight` must be a finite"):
        contracts.MULTI_HEAD.make("mmd", alignment_weight=keras.Variable(-3.0))
