"""Over 200 steps, mixed precision learns as float32 does, with every alignment."""

import functools

import keras
import numpy as np
import pytest
from execution import BACKEND, JIT

import keras_align

STEPS, TOKENS, WORDS = 200, 12, 50
ALIGNMENTS = ["ct", "gan", "ot", "mmd"]

pytestmark = pytest.mark.slow


def curve(policy, alignment, seed=0):
    """Losses of a small encoder that learns whether a word is in a sentence.

    With "gan" those of the task alone: late in training its discriminator swings, in
    another way in every run, of one start in float32 as well.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((TOKENS,), dtype="int32")
    x = keras.layers.Embedding(WORDS, 32)(inputs)
    for _ in range(2):
        layer = keras_align.AlignedMultiHeadAttention(4, 8, alignment=alignment)
        x = keras.layers.LayerNormalization()(x + layer(x, x))
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = keras.layers.Dense(1, activation="sigmoid", dtype="float32")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(2e-3),
        "binary_crossentropy",
        metrics=["binary_crossentropy"],
        jit_compile=JIT,
    )
    name = "binary_crossentropy" if alignment == "gan" else "loss"
    draw = np.random.default_rng(seed)
    tokens = draw.integers(0, WORDS, (STEPS * 16, TOKENS))
    labels = (tokens < 4).any(-1, keepdims=True).astype("float32")
    losses = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: found.append(logs[name] * (batch + 1))
    )
    found = []  # sums, as the logs are means since the epoch began
    model.fit(
        tokens, labels, batch_size=16, shuffle=False, verbose=0, callbacks=[losses]
    )
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
    return np.diff([0.0, *found])


@functools.cache
def parts(policy, alignment, seed=0):
    """Means of 20 steps each."""
    losses = curve(policy, alignment, seed)
    assert np.isfinite(losses).all() and len(losses) == STEPS
    return losses.reshape(-1, 20).mean(-1)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_mixed_precision_learns_as_float32_does(alignment):
    """The curves differ by what those of soft attention do, or three starts.

    In float16 they lag: the first steps overflow, are skipped, and halve the scale.
    """
    policies = ["mixed_bfloat16", "mixed_float16"]
    if BACKEND == "jax":
        policies.pop()  # it has no attention in float16 on processors
    full = parts("float32", alignment)
    others = [parts("float32", alignment, seed) for seed in (1, 2)]
    noise = np.abs(full - others).max()
    assert full[-1] < 0.1 * full[0]
    for policy in policies:
        found, soft = parts(policy, alignment), parts(policy, None)
        difference = np.abs(found - full).max()
        of_soft = np.abs(soft - parts("float32", None)).max()
        numbers = (difference, of_soft, noise, found[-1], full[-1])
        cells = [BACKEND, alignment, policy, *(f"{each:.3f}" for each in numbers)]
        print("|", " | ".join(cells), "|")
        assert difference < of_soft + noise
        assert found[-1] < 0.1 * found[0]
