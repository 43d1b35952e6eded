"""Training on several devices gives the numbers of one."""

import json

import contracts
import isolated
import keras
import numpy as np
import pytest

from keras_align.training import jit_compile_replicas


def test_two_mirrored_devices_equal_one(tmp_path):
    """Without XLA, and with XLA in each replica."""
    file = tmp_path / "logs.json"
    isolated.run("train_mirrored.py", file)
    replicas, one, *mirrored = json.loads(file.read_text())
    assert replicas == 2
    for two in mirrored:
        assert set(one) == set(two) == {"loss", "alignment_loss", "weights"}
        for name, values in one.items():
            assert two[name] == pytest.approx(values, rel=1e-4, abs=1e-4), name


def functional():
    inputs = keras.Input((5, 8))
    layer = contracts.MULTI_HEAD.make("ct", alignment_weight=1.0)
    return keras.Model(inputs, layer(inputs, inputs))


def test_xla_in_replicas_is_the_step_of_keras():
    """Metrics, sample weights, an optimizer with loss scaling, an uneven last batch."""
    x, y = contracts.tokens(5, batch=7), contracts.tokens(5, batch=7, seed=1)
    weights, logs = np.linspace(0.5, 2.0, 35).reshape(7, 5), []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = functional()
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2))
        options = {"metrics": ["mae"], "weighted_metrics": ["mse"]}
        model.compile(optimizer, "mse", jit_compile=False, **options)
        if jit_compile:
            jit_compile_replicas(model)
        fit = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
        logs.append(model.fit(x, y, sample_weight=weights, **fit).history)
    assert set(logs[0]) == set(logs[1]) == {"loss", "mae", "mse", "alignment_loss"}
    for name, values in logs[0].items():
        assert logs[1][name] == pytest.approx(values, rel=1e-4), name


def test_models_that_cannot_have_xla_in_replicas_are_refused():
    class Own(keras.Model):
        def train_step(self, data):
            return {}

    model = functional()
    with pytest.raises(ValueError, match="compiled=False"):
        jit_compile_replicas(model)
    for options in ({"jit_compile": True}, {"run_eagerly": True}):
        model.compile("sgd", "mse", **{"jit_compile": False, **options})
        with pytest.raises(ValueError, match="`jit_compile=False`"):
            jit_compile_replicas(model)
    own = Own(model.inputs, model.outputs)
    own.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="train_step of its own=True"):
        jit_compile_replicas(own)
