"""`OptimalTransportAlignment` reports the convergence of its iterations."""

import keras
import numpy as np
import pytest
from execution import QUICK_JIT

import keras_align

pytestmark = pytest.mark.slow_on("jax")

X = np.random.default_rng(0).normal(size=(8, 6, 8)).astype("float32")


def trained(**options):
    """An alignment after two steps of `fit`."""
    inputs = keras.Input((6, 8))
    alignment = keras_align.OptimalTransportAlignment(**options)
    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment=alignment)
    model = keras.Model(inputs, layer(inputs, inputs))
    assert layer.alignment.convergence is None  # nothing was computed yet
    model.compile("sgd", "mse", jit_compile=QUICK_JIT)
    model.fit(X, X, batch_size=4, verbose=0)
    return model, layer.alignment


def test_what_ran_out_of_iterations_is_seen_after_fit():
    _, alignment = trained(epsilon=1e-3, max_iterations=5)
    error, converged, iterations = alignment.convergence
    assert error > 0.0 and converged == 0.0 and iterations == 5.0


def test_what_converged_is_seen_after_fit(tmp_path):
    model, alignment = trained(epsilon=1.0, max_iterations=200, tolerance=1e-3)
    convergence = alignment.convergence
    assert convergence.converged == 1.0 and 0.0 <= convergence.marginal_error <= 1e-3
    assert 5.0 <= convergence.iterations < 200.0
    before = alignment.convergence
    model.predict(X, verbose=0)
    assert alignment.convergence == before
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1].alignment
    assert again.convergence is None and not again.weights


def test_means_are_of_samples_and_heads():
    """One sample of two has equal tokens, which any plan moves at no error."""
    alignment = keras_align.OptimalTransportAlignment(epsilon=1e-3, max_iterations=40)
    query = np.random.default_rng(0).normal(size=(2, 9, 1, 4)).astype("float32")
    key = np.random.default_rng(1).normal(size=(2, 7, 1, 4)).astype("float32")
    query[1], key[1] = 1.0, 1.0
    alignment(query, key)
    assert alignment.convergence.converged == pytest.approx(0.5)
