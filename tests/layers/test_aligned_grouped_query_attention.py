"""AlignedGroupedQueryAttention: the contract, the options of Keras, the value."""

import contracts
import keras
import numpy as np
import oracles
import pytest
from contracts import GROUPED_QUERY, tokens
from execution import array

import keras_align

every_alignment = pytest.mark.parametrize("alignment", [*contracts.ALIGNMENTS, None])


@pytest.mark.slow_on("jax")
@contracts.few_cases
def test_contract(contract, alignment):
    contract(GROUPED_QUERY, alignment)


X, OTHER = tokens(5), tokens(7, seed=1)
LOWER = np.tril(np.ones((5, 5), bool))
PADDED = np.arange(5) < np.array([[5], [3], [2]])  # (B, S)
# Second input, arguments of the constructor, arguments of the call.
OPTIONS = {
    "self": (X, {}, {}),
    "cross": (OTHER, {"use_bias": False}, {}),
    "causal": (X, {}, {"use_causal_mask": True}),
    "causal window": (X, {"sliding_window": 2}, {"use_causal_mask": True}),
    "gate": (X, {"use_gate": True}, {}),
    "causal scores": (
        X,
        {},
        {"return_attention_scores": True, "use_causal_mask": True},
    ),
    "dropout": (X, {"dropout": 0.5, "seed": 7}, {}),
    "mask (1, T, S)": (X, {}, {"attention_mask": LOWER[None]}),
    "mask (B, T, S)": (X, {}, {"attention_mask": np.stack([LOWER] * 3)}),
    "mask (B, 1, S)": (X, {}, {"attention_mask": PADDED[:, None]}),
    "mask (B, 1, 1, S)": (X, {}, {"attention_mask": PADDED[:, None, None]}),
    "mask (B, 1, T, S)": (X, {}, {"attention_mask": PADDED[:, None, None] & LOWER}),
    "query and value masks": (X, {}, {"query_mask": PADDED, "value_mask": PADDED}),
    "float16": (X, {"dtype": "float16"}, {}),
}


OTHERS = [
    pytest.param(each, marks=pytest.mark.slow) for each in (None, "ct", "gan", "ot")
]


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("alignment", ["mmd", *OTHERS])
def test_outputs_equal_keras_bit_for_bit(option, alignment):
    other, arguments, call = OPTIONS[option]
    aligned, plain = GROUPED_QUERY.pair(alignment, X, other, call=call, **arguments)
    for training in (False, True):
        received, expected = (
            keras.tree.flatten(layer(X, other, **call, training=training))
            for layer in (aligned, plain)
        )
        for ours, theirs in zip(received, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(array(ours), array(theirs))
        assert len(aligned.losses) == int(training and alignment is not None)
        assert all(np.isfinite(array(loss)) for loss in aligned.losses)


def project(dense, x):
    """`(B, T, N, H)` from the kernel `(E, N, H)` and bias, in float64."""
    kernel, bias = (np.asarray(weight, "float64") for weight in dense.get_weights())
    return np.einsum("bte,enh->btnh", x, kernel) + bias


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_each_key_head_meets_all_queries_of_its_group(key_heads, masked):
    bandwidth = 1.5
    layer = keras_align.AlignedGroupedQueryAttention(
        4,
        4,
        key_heads,
        alignment=keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=bandwidth),
        alignment_weight=0.25,
        bias_initializer="glorot_uniform",
    )
    real = PADDED if masked else np.ones_like(PADDED)
    mask = {"attention_mask": real[:, None]} if masked else {}
    layer(X, X, training=True, **mask)
    query, key = project(layer._query_dense, X), project(layer._key_dense, X)
    per_group = 4 // key_heads
    divergences = []
    for b in range(len(X)):
        for head in range(key_heads):
            group = range(head * per_group, (head + 1) * per_group)
            of_group = np.concatenate([query[b, real[b], n] for n in group])
            divergences.append(
                oracles.maximum_mean_discrepancy(
                    of_group[None, :, None],
                    key[b, real[b], head][None, :, None],
                    bandwidth=bandwidth,
                )
            )
    assert float(layer.losses[0]) == pytest.approx(
        0.25 * np.mean(divergences), rel=1e-5
    )


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("alignment", contracts.ALIGNMENTS)
def test_groups_of_one_are_multi_head_attention(alignment):
    grouped = keras_align.AlignedGroupedQueryAttention(4, 2, 2, alignment=alignment)
    multi_head = contracts.MULTI_HEAD.make(alignment)
    grouped(X, OTHER), multi_head(X, OTHER)
    multi_head.set_weights(grouped.get_weights())
    grouped(X, OTHER, training=True), multi_head(X, OTHER, training=True)
    assert float(grouped.losses[0]) == pytest.approx(
        float(multi_head.losses[0]), rel=1e-6
    )
