"""What a TPU asks for: the whole train step under XLA, with static shapes."""

import re

import keras
import pytest
import small_models
import tensorflow as tf

import keras_align

pytestmark = pytest.mark.backends("tensorflow")

# Not operations of XLA itself but calls of the host's libraries.
FOREIGN = {"custom-call", "infeed", "outfeed", "send", "recv"}


def operations(text):
    """The names of the operations in XLA's text: those after the type of a result.

    The type may be a tuple of types, which has spaces and brackets of its own.
    """
    found = set()
    for result in re.findall(r"^\s*(?:ROOT )?%?[\w.-]+ = (.*)$", text, re.MULTILINE):
        depth = 0
        for index, character in enumerate(result):
            depth += (character in "([{") - (character in ")]}")
            if character == " " and not depth:
                found.add(re.match(r"[a-z][\w-]*", result[index + 1 :])[0])
                break
    return found


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


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ct", "gan", "ot")]


SAMPLED = keras_align.ConditionalTransportAlignment(max_tokens=2)


@pytest.mark.parametrize("alignment", [SAMPLED, *SLOW])
def test_the_whole_step_is_one_program_of_static_shapes(alignment):
    step, batch = train_step(alignment)
    text = step.experimental_get_compiler_ir(batch)(stage="hlo")
    found = operations(text)
    assert {"dot", "add", "reduce", "tuple"} <= found
    assert not found & FOREIGN
    assert "<=" not in text  # how XLA writes a dimension of unknown size
    assert "dynamic-reshape" not in text and "set-dimension-size" not in text


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("%a.1 = f32[2,3]{1,0} add(f32[2,3]{1,0} %x, f32[2,3]{1,0} %y)", "add"),
        ("  ROOT a.1 = f32[2]{0:T(8,128)} add(x, y)", "add"),
        ("%i = ((f32[3]{0}, (s32[])), token[]) infeed(token[] %t)", "infeed"),
        ("%o = token[] outfeed(f32[3]{0} %x, token[] %t)", "outfeed"),
        ("%s = (f32[2]{0}, u32[], token[]) send(f32[2]{0} %x, token[] %t)", "send"),
        ("%r = (f32[2]{0:T(8,128)}, u32[], /*index=2*/token[]) recv(%t)", "recv"),
        ('%c = (f32[2], s32[2]) custom-call(%x), target="TopK"', "custom-call"),
        ("%c = f32[2]{0} custom-call(%x), target=() -> f32", "custom-call"),
        ("ENTRY %main (x: f32[2]) -> (f32[2]) {", None),
    ],
)
def test_operations_are_found_whatever_their_result_is(line, name):
    assert operations(line) == ({name} if name else set())
