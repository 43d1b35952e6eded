"""Training on several devices gives the numbers of one."""

import json

import contracts
import isolated
import keras
import numpy as np
import pytest
import tensorflow as tf
import train_distributed

from keras_align.training import distribute

pytestmark = pytest.mark.backends("tensorflow")

SETTINGS = "plain", "accumulated", "several"
PLAIN = "clipped", "averaged", "overflow"


def run(folder, strategy, jit_compile, *settings):
    file = folder / f"{strategy}.json"
    isolated.run("train_distributed.py", file, strategy, jit_compile, *settings)
    return json.loads(file.read_text())


def check(found, expected):
    """Losses, metrics and weights; last batches of an epoch that cannot be halved."""
    assert (found["replicas"], expected["replicas"]) == (2, 1)
    names = {"loss", "mae", "val_loss", "val_mae", "scale", "steps", "weights"}
    for setting in set(found) - {"replicas"}:
        aligned = {"alignment_loss"} if setting not in PLAIN else set()
        assert set(found[setting]) == set(expected[setting]) == names | aligned
        tolerance = 1e-2 if setting in ("float16", "overflow") else 1e-5
        for name, values in expected[setting].items():
            close = pytest.approx(values, rel=tolerance, abs=tolerance)
            assert found[setting][name] == close, (setting, name)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [0, 1])
def test_two_mirrored_devices_with_xla_and_in_float16_equal_one(tmp_path, jit_compile):
    settings = "even", "float16", "all accumulated", "all several"
    expected = run(tmp_path, "one", 0, *settings)
    check(run(tmp_path, "mirrored", jit_compile, *settings), expected)


def run_two_workers(folder, *settings):
    files = [folder / "first.json", folder / "second.json"]
    arguments = "multiworker", 0, *settings
    processes = [
        isolated.start("train_distributed.py", file, *arguments, TF_CONFIG=config)
        for file, config in zip(files, isolated.clusters(2), strict=True)
    ]
    for process in processes:
        isolated.finish(process)
    return [json.loads(file.read_text()) for file in files]


def test_two_mirrored_devices_equal_one(tmp_path):
    one = train_distributed.train(tf.distribute.get_strategy(), False, layers=1)
    check(run(tmp_path, "mirrored", 0, "single"), {"single": one, "replicas": 1})


@pytest.mark.slow
def test_two_mirrored_devices_and_two_workers_equal_one_device(tmp_path):
    one = run(tmp_path, "one", 0, *SETTINGS, *PLAIN, "summed")
    assert one["overflow"]["scale"][0] < 2.0**15  # it was halved
    check(run(tmp_path, "mirrored", 0, *SETTINGS, *PLAIN, "summed"), one)
    for worker in run_two_workers(tmp_path, "plain", "accumulated"):
        check(worker, one)


def functional():
    inputs = keras.Input((5, 8))
    layer = contracts.MULTI_HEAD.make("ct", alignment_weight=1.0)
    return keras.Model(inputs, layer(inputs, inputs))


@pytest.mark.slow
def test_the_step_is_that_of_keras():
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
            distribute(model)
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
        distribute(model)
    for options in ({"jit_compile": True}, {"run_eagerly": True}):
        model.compile("sgd", "mse", **{"jit_compile": False, **options})
        with pytest.raises(ValueError, match="`jit_compile=False`"):
            distribute(model)
    own = Own(model.inputs, model.outputs)
    own.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(ValueError, match=r"own steps=\['train_step'\]"):
        distribute(own)
