"""What a TPU asks for: the whole train step under XLA, with static shapes."""

import re

import keras
import pytest
import small_models
import tensorflow as tf

import keras_align

# Not operations of XLA itself but calls of the host's libraries.
FOREIGN = ("custom-call", "infeed", "outfeed", "send", "recv")


def train_step(alignment):
    model = keras_align.align_model(small_models.classifier(), alignment)
    optimizer = keras.optimizers.AdamW(1e-3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=True)
    inputs, targets = small_models.data("classifier")
    batch = tf.nest.map_structure(tf.constant, (inputs, targets))
    model.preprocessor = None
    model._symbolic_build(data_batch=batch)
    return tf.function(model.train_step, jit_compile=True), batch


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("gan", "ot", "mmd")]


@pytest.mark.parametrize("alignment", ["ct", *SLOW])
def test_the_whole_step_is_one_program_of_static_shapes(alignment):
    step, batch = train_step(alignment)
    text = step.experimental_get_compiler_ir(batch)(stage="hlo")
    operations = set(re.findall(r"= \S+ ([a-z][\w-]*)\(", text))
    assert {"dot", "add", "reduce"} <= operations
    assert not operations & set(FOREIGN)
    assert "<=" not in text  # how XLA writes a dimension of unknown size
    assert "dynamic-reshape" not in text and "set-dimension-size" not in text
