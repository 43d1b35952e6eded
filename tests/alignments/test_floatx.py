"""Formulas in float32 take no constant in the type of `floatx`."""

import keras
import numpy as np
import pytest
from execution import dtype_of, value_and_gradients
from small_alignments import CLASSES

import keras_align

pytestmark = pytest.mark.slow_on("jax")

MASK = np.arange(5) < np.array([[5], [3]])
X = np.random.default_rng(0).normal(size=(2, 5, 2, 4)).astype("float32")


@pytest.fixture(params=["float64", "float16"])
def other_floatx(request):
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    yield request.param
    keras.config.set_floatx(before)


@pytest.mark.parametrize("name", CLASSES)
def test_value_and_gradients_do_not_depend_on_floatx(name, other_floatx):
    def run(floatx):
        keras.config.set_floatx(floatx)
        keras.utils.set_random_seed(0)
        alignment = CLASSES[name]()
        value = alignment(X, X + 1.0, query_mask=MASK, key_mask=MASK)
        assert dtype_of(value) == "float32"
        return value_and_gradients(
            lambda q, k: alignment(q, k, query_mask=MASK, key_mask=MASK),
            X,
            X + 1.0,
            watch=alignment.trainable_variables,
        )

    value, gradients = run(other_floatx)
    wanted, wanted_gradients = run("float32")
    rtol = 1e-4 if name == "ot" else 1e-5  # its iterations stop at a tolerance
    np.testing.assert_allclose(value, wanted, rtol=rtol, atol=1e-6)
    for gradient, expected in zip(gradients, wanted_gradients, strict=True):
        assert gradient.dtype == "float32"
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


# Of JAX, which makes the layer's own weights float32.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("name", CLASSES)
def test_layer_adds_its_loss(name, other_floatx):
    if other_floatx == "float16" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no attention in float16 on the CPU")
    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment=name)
    x = np.ones((2, 5, 8))
    layer(x, x, training=True)
    assert np.isfinite(float(layer.losses[0]))
