"""Training where neither the number of samples nor that of tokens is known."""

import keras
import numpy as np
import pytest

import keras_align
from keras_align.training import ShuffledBatches


@pytest.mark.parametrize("alignment", ["gan", "ct", "ot", "mmd"])
def test_steps_compile_with_batches_of_unknown_sizes(alignment):
    inputs = keras.Input((None, 8))
    attention = keras_align.AlignedMultiHeadAttention(2, 4, alignment=alignment)
    hidden = attention(inputs, inputs)
    outputs = keras.layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() != "torch")
    draw = np.random.default_rng(0)
    batches = ShuffledBatches(draw.normal(size=(8, 5, 8)), np.zeros((8, 8)), 4)
    history = model.fit(batches, shuffle=False, verbose=0).history
    assert np.isfinite(history["alignment_loss"]).all()
