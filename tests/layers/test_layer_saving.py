"""Models with aligned layers survive their config, files and a fresh process."""

import json

import contracts
import isolated
import keras
import numpy as np
import pytest
from contracts import GROUPED_QUERY, MULTI_HEAD, tokens
from execution import QUICK_STEP, array

import keras_align

pytestmark = pytest.mark.slow_on("jax")

X = tokens(5, batch=4)
TRANSPORT = {"cost": "sqeuclidean", "epsilon": 0.5, "max_iterations": 30}


def layers():
    """One layer of each way to be aligned, with options that are not the defaults."""
    weight = keras.Variable(0.25)
    transport = keras_align.OptimalTransportAlignment(**TRANSPORT)
    critic = keras_align.ConditionalTransportAlignment(8, rho=0.25, max_tokens=9)
    return [
        MULTI_HEAD.make(critic, alignment_weight=weight, name="ct"),
        GROUPED_QUERY.make("gan", alignment_weight=0.125, name="gan"),
        MULTI_HEAD.make(transport, use_bias=False, name="ot"),
        GROUPED_QUERY.make("mmd", use_gate=True, name="mmd"),
        MULTI_HEAD.make(None, name="plain"),
    ]


@pytest.fixture(scope="module")
def trained():
    x = inputs = keras.Input((5, 8))
    for layer in layers():
        x = layer(x, x)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.Adam(1e-3), "mse", **QUICK_STEP)
    model.fit(X, X, shuffle=False, verbose=0)
    return model


def configs(model):
    """Of all layers but the input, which gets a new name in a clone."""
    return {layer.name: layer.get_config() for layer in model.layers[1:]}


def test_clone_has_the_same_layers(trained):
    clone = keras.models.clone_model(trained)
    assert configs(clone) == configs(trained)
    clone.set_weights(_without_the_variable(trained))
    np.testing.assert_array_equal(array(clone(X)), array(trained(X)))
    assert trained.get_layer("ct").get_config()["alignment_weight"] == 0.25
    assert clone.get_layer("ot").alignment.get_config().items() >= TRANSPORT.items()


def _without_the_variable(model):
    weight = model.get_layer("ct").alignment_weight
    return [keras.ops.convert_to_numpy(w) for w in model.weights if w is not weight]


@pytest.mark.slow
def test_a_fresh_process_goes_on_with_the_file(trained, tmp_path):
    """The same predictions, and the same losses in the next steps."""
    np.save(tmp_path / "x.npy", X)
    trained.save(tmp_path / "model.keras")
    trained.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "model.json").write_text(trained.to_json())
    predicted = keras.ops.convert_to_numpy(trained(X))
    isolated.run("load_layers.py", tmp_path)
    for name in ("loaded", "by_weights"):
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), predicted)
    logs = trained.fit(X, X, epochs=2, shuffle=False, verbose=0).history
    loaded = json.loads((tmp_path / "loaded.json").read_text())
    logged = {"loss", "alignment_loss"}
    assert set(loaded) == set(logs) == logged
    for name, values in logs.items():
        assert loaded[name] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize("alignment", contracts.ALIGNMENTS)
def test_weights_of_an_unbuilt_layer(alignment, tmp_path):
    """A subclassed model creates its layers first and their weights when called."""

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = MULTI_HEAD.make(alignment)

        def build(self, shape):
            self.attention.build(shape, shape)

        def call(self, x):
            return self.attention(x, x)

    model, again = Model(), Model()
    model(X), again(X)
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    for weight, loaded in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(weight, loaded)
