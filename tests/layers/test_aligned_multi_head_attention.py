"""AlignedMultiHeadAttention: the contract, the options of Keras, the value."""

import contracts
import keras
import numpy as np
import oracles
import pytest
from contracts import MULTI_HEAD, tokens
from execution import BACKEND, array

import keras_align

every_alignment = pytest.mark.parametrize("alignment", [*contracts.ALIGNMENTS, None])


@contracts.every_case
def test_contract(contract, alignment):
    contract(MULTI_HEAD, alignment)


X, OTHER = tokens(5), tokens(7, seed=1)
IMAGE = np.random.default_rng(2).normal(size=(2, 3, 4, 8)).astype("float32")
LOWER = np.tril(np.ones((5, 5), bool))
PADDED = np.arange(5) < np.array([[5], [3], [2]])  # (B, S)
# Plain attention on JAX wants values as wide as keys.
SIZES = {"value_dim": 4 if BACKEND == "jax" else 3, "output_shape": 6}
# Inputs, arguments of the constructor, arguments of the call.
OPTIONS = {
    "self": ((X, X), {}, {}),
    "cross": ((X, OTHER), {}, {}),
    "key and value": ((X, OTHER, tokens(7, size=6)), {}, {}),
    "sizes": ((X, X), {**SIZES, "use_bias": False}, {}),
    "causal": ((X, X), {}, {"use_causal_mask": True}),
    "causal cross": ((X, OTHER), {}, {"use_causal_mask": True}),
    "sliding window": ((X, X), {"sliding_window": 2}, {}),
    "causal window": ((X, X), {"sliding_window": 2}, {"use_causal_mask": True}),
    "gate": ((X, X), {"use_gate": True}, {}),
    "scores": ((X, X), {}, {"return_attention_scores": True}),
    "causal scores": (
        (X, X),
        {},
        {"return_attention_scores": True, "use_causal_mask": True},
    ),
    "dropout": ((X, X), {"dropout": 0.5, "seed": 7}, {}),
    "dropout, causal": ((X, X), {"dropout": 0.5, "seed": 7}, {"use_causal_mask": True}),
    "mask (T, S)": ((X, X), {}, {"attention_mask": LOWER}),
    "mask (1, T, S)": ((X, X), {}, {"attention_mask": LOWER[None]}),
    "mask (B, T, S)": ((X, X), {}, {"attention_mask": np.stack([LOWER] * 3)}),
    "mask (B, 1, S)": ((X, X), {}, {"attention_mask": PADDED[:, None]}),
    "mask (B, 1, 1, S)": ((X, X), {}, {"attention_mask": PADDED[:, None, None]}),
    "mask (B, 1, T, S)": (
        (X, X),
        {},
        {"attention_mask": PADDED[:, None, None] & LOWER},
    ),
    "causal and mask": (
        (X, X),
        {},
        {"attention_mask": PADDED[:, None], "use_causal_mask": True},
    ),
    "value and key masks": (
        (X, X, X),
        {},
        {"value_mask": PADDED, "key_mask": PADDED, "query_mask": PADDED},
    ),
    "one attention axis": ((IMAGE, IMAGE), {"attention_axes": 2}, {}),
    "negative axis": ((IMAGE, IMAGE), {"attention_axes": -2}, {}),
    "two attention axes": ((IMAGE, IMAGE), {"attention_axes": (1, 2)}, {}),
    "axes with scores": (
        (IMAGE, IMAGE),
        {"attention_axes": (1,)},
        {"return_attention_scores": True},
    ),
    "axes with mask": (
        (IMAGE, IMAGE),
        {"attention_axes": (1, 2)},
        {"attention_mask": np.tril(np.ones((12, 12), bool)).reshape(3, 4, 3, 4)},
    ),
    "float16": ((X, X), {"dtype": "float16"}, {}),
    "mixed_bfloat16": ((X, X), {"dtype": "mixed_bfloat16"}, {}),
}


FEW = {"self", "key and value", "causal", "dropout", "two attention axes"}
EVERY_OPTION = [
    pytest.param(each, marks=[] if each in FEW else [pytest.mark.slow_on("jax")])
    for each in OPTIONS
]
OTHERS = [
    pytest.param(each, marks=pytest.mark.slow) for each in (None, "ct", "gan", "ot")
]


@pytest.mark.parametrize("option", EVERY_OPTION)
@pytest.mark.parametrize("alignment", ["mmd", *OTHERS])
def test_outputs_equal_keras_bit_for_bit(option, alignment):
    inputs, arguments, call = OPTIONS[option]
    aligned, plain = MULTI_HEAD.pair(alignment, *inputs, call=call, **arguments)
    for training in (False, True):
        received, expected = (
            keras.tree.flatten(layer(*inputs, **call, training=training))
            for layer in (aligned, plain)
        )
        for ours, theirs in zip(received, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(array(ours), array(theirs))
        assert len(aligned.losses) == int(training and alignment is not None)
        assert all(np.isfinite(array(loss)) for loss in aligned.losses)


def test_masks_of_embeddings_pass_through():
    ids = np.array([[1, 2, 3, 0, 0], [3, 3, 1, 1, 2]])
    embedding = keras.layers.Embedding(4, 8, mask_zero=True)
    aligned, plain = MULTI_HEAD.pair("ct", embedding(ids), embedding(ids))
    for training in (False, True):
        x = [embedding(ids) for _ in range(4)]
        received, expected = (
            aligned(x[0], x[1], training=training),
            plain(x[2], x[3], training=training),
        )
        np.testing.assert_array_equal(array(received), array(expected))
        np.testing.assert_array_equal(received._keras_mask, ids > 0)


def project(dense, x):
    """`(B, T, N, H)` from the kernel `(E, N, H)` and bias, in float64."""
    kernel, bias = (np.asarray(weight, "float64") for weight in dense.get_weights())
    return np.einsum("bte,enh->btnh", x, kernel) + bias


@pytest.mark.parametrize("source", ["self", "cross", "key"])
def test_loss_is_weight_times_mean_divergence(source):
    bandwidth = 1.5
    layer = MULTI_HEAD.make(
        keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=bandwidth),
        alignment_weight=0.25,
        bias_initializer="glorot_uniform",
    )
    keys = {"self": X, "cross": OTHER, "key": tokens(7, size=6)}[source]
    inputs = (X, OTHER, keys) if source == "key" else (X, keys)
    layer(*inputs, training=True)
    query, key = project(layer._query_dense, X), project(layer._key_dense, keys)
    divergence = oracles.maximum_mean_discrepancy(query, key, bandwidth=bandwidth)
    assert float(layer.losses[0]) == pytest.approx(0.25 * divergence.mean(), rel=1e-5)
    assert float(layer.alignment_loss) == pytest.approx(divergence.mean(), rel=1e-5)


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
def test_clouds_are_the_tokens_that_attend_to_each_other(axes):
    bandwidth = 1.5
    layer = MULTI_HEAD.make(
        keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=bandwidth),
        alignment_weight=1.0,
        attention_axes=axes,
    )
    layer(IMAGE, IMAGE, training=True)

    def projected(dense):
        kernel, bias = (np.asarray(each, "float64") for each in dense.get_weights())
        x = np.einsum("bhwe,end->bhwnd", IMAGE, kernel) + bias
        if axes == (1, 2):
            return x.reshape(2, 12, 2, 4)
        x = x.transpose(0, 2, 1, 3, 4) if axes == (1,) else x
        return x.reshape(-1, *x.shape[2:])

    query, key = projected(layer._query_dense), projected(layer._key_dense)
    divergence = oracles.maximum_mean_discrepancy(query, key, bandwidth=bandwidth)
    assert float(layer.losses[0]) == pytest.approx(divergence.mean(), rel=1e-5)
