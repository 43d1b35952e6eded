"""Which tokens take part: every form in which a mask reaches an attention layer."""

import contracts
import keras
import numpy as np
import pytest
import strategies
from contracts import tokens

import keras_align
from keras_align.adapters.token_masks import token_masks

pytestmark = pytest.mark.slow_on("jax")

LENGTHS = np.array([4, 2])  # real tokens of the two samples, of 5
REAL = np.arange(5) < LENGTHS[:, None]  # (B, T)
OTHER_LENGTHS = np.array([3, 6])  # of 7
OTHER_REAL = np.arange(7) < OTHER_LENGTHS[:, None]  # (B, S)
LOWER = np.tril(np.ones((5, 5), bool))
SQUARE = REAL[:, :, None] & REAL[:, None, :]  # (B, T, T)
# The same padding, said in every way; explicit and as the masks of the tensors.
SELF_ATTENTION = {
    "(B, 1, S)": {"attention_mask": REAL[:, None]},
    "(B, 1, S) of integers": {"attention_mask": REAL[:, None].astype("int32")},
    "(B, 1, S) of floats": {"attention_mask": REAL[:, None].astype("float32")},
    "(B, T, S)": {"attention_mask": SQUARE},
    "(B, T, S) causal": {"attention_mask": SQUARE & LOWER},
    "(B, 1, 1, S)": {"attention_mask": REAL[:, None, None]},
    "(B, 1, T, S)": {"attention_mask": SQUARE[:, None]},
    "(B, N, T, S)": {"attention_mask": np.stack([SQUARE, SQUARE & LOWER], 1)},
    "query_mask": {"query_mask": REAL},
    "value_mask": {"value_mask": REAL},
    "both and causal": {
        "query_mask": REAL,
        "value_mask": REAL,
        "use_causal_mask": True,
    },
    "value_mask and (1, T, S)": {"value_mask": REAL, "attention_mask": LOWER[None]},
    "value_mask and (T, S)": {"value_mask": REAL, "attention_mask": LOWER},
}
every_layer = pytest.mark.parametrize(
    "subject", contracts.SUBJECTS.values(), ids=contracts.SUBJECTS
)


def rubbish_outside(x, real):
    return np.where(real[..., None], x, np.float32(strategies.FLOAT16_MAX / 1e3))


X = rubbish_outside(tokens(5, batch=2), REAL)
OTHER = rubbish_outside(tokens(7, batch=2, seed=1), OTHER_REAL)


def make(subject, **options):
    layer = subject.make(
        keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=1.5),
        alignment_weight=1.0,
        **options,
    )
    layer(X, OTHER)
    return layer


def loss(layer, *inputs, **call):
    layer(*inputs, training=True, **call)
    return float(layer.losses[0])


def loss_without_padding(layer):
    """Mean over the samples, each cut to its real tokens."""
    cut = [X[b : b + 1, : LENGTHS[b]] for b in range(2)]
    return np.mean([loss(layer, x, x) for x in cut])


@every_layer
@pytest.mark.parametrize("form", SELF_ATTENTION)
def test_padding_in_self_attention(subject, form):
    layer = make(subject)
    expected = loss_without_padding(layer)
    call = dict(SELF_ATTENTION[form])
    if form == "(B, N, T, S)" and subject is contracts.GROUPED_QUERY:  # has 4 heads
        call["attention_mask"] = np.repeat(call["attention_mask"], 2, axis=1)
    assert loss(layer, X, X, **call) == pytest.approx(expected, 1e-5)


@every_layer
@pytest.mark.parametrize("form", ["masks", "(B, 1, S)", "(B, T, S)", "(B, 1, T, S)"])
def test_padding_in_cross_attention(subject, form):
    layer = make(subject)
    both = REAL[:, :, None] & OTHER_REAL[:, None]
    call = {
        "masks": {"query_mask": REAL, "value_mask": OTHER_REAL},
        "(B, 1, S)": {"query_mask": REAL, "attention_mask": OTHER_REAL[:, None]},
        "(B, T, S)": {"attention_mask": both},
        "(B, 1, T, S)": {"attention_mask": both[:, None]},
    }[form]
    cut = [
        (X[b : b + 1, : LENGTHS[b]], OTHER[b : b + 1, : OTHER_LENGTHS[b]])
        for b in range(2)
    ]
    expected = np.mean([loss(layer, *inputs) for inputs in cut])
    assert loss(layer, X, OTHER, **call) == pytest.approx(expected, 1e-5)


@every_layer
@pytest.mark.parametrize("said_by", ["key_mask", "value_mask", "both"])
def test_a_key_counts_if_it_and_its_value_are_real(subject, said_by):
    """As Keras attends: with an explicit key the masks of both count."""
    layer = make(subject)
    key = np.where(OTHER_REAL[..., None], tokens(7, batch=2, seed=2), OTHER)
    lengths = zip(LENGTHS, OTHER_LENGTHS, strict=True)
    cut = [
        (X[b, None, :length], OTHER[b, None, :other], key[b, None, :other])
        for b, (length, other) in enumerate(lengths)
    ]
    expected = np.mean([loss(layer, *inputs) for inputs in cut])
    masks = {said_by: OTHER_REAL}
    if said_by == "both":  # each says a part
        part = np.arange(7) < np.array([[3], [7]])
        masks = {"key_mask": part, "value_mask": OTHER_REAL | ~part}
    received = loss(layer, X, OTHER, key, query_mask=REAL, **masks)
    assert received == pytest.approx(expected, 1e-5)


@every_layer
def test_causal_attention_hides_no_token(subject):
    layer = make(subject)
    whole = tokens(5, batch=2)
    expected = loss(layer, whole, whole)
    assert loss(layer, whole, whole, use_causal_mask=True) == expected
    for mask in (LOWER, LOWER[None], np.stack([LOWER] * 2)):
        assert loss(layer, whole, whole, attention_mask=mask) == expected


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_self_attention_is_known_through_casts(subject, policy):
    """One float32 input becomes two half precision tensors; its mask holds for both."""
    layer = make(subject, dtype=policy)
    quiet = np.where(REAL[..., None], X, np.float32(0.0))
    both = loss(layer, quiet, quiet, attention_mask=SQUARE)
    assert loss(layer, quiet, quiet, attention_mask=REAL[:, None]) == both


# The Keras layer passes masked tensors to projections that do not know masks.
@pytest.mark.filterwarnings("ignore:Layer .* EinsumDense:UserWarning")
@every_layer
def test_masks_of_embeddings(subject):
    layer = make(subject)
    embedding = keras.layers.Embedding(9, 8, mask_zero=True)
    ids = np.array([[3, 4, 5, 6, 0], [7, 8, 0, 0, 0]])
    x = keras.ops.convert_to_numpy(embedding(ids))
    embedded = embedding(ids)
    received = loss(layer, embedded, embedded)
    expected = np.mean([loss(layer, *[x[b : b + 1, : LENGTHS[b]]] * 2) for b in (0, 1)])
    assert received == pytest.approx(expected, rel=1e-5, abs=1e-6)


@every_layer
@pytest.mark.parametrize("alignment", contracts.ALIGNMENTS)
def test_a_sample_of_padding_counts_zero(subject, alignment):
    layer = subject.make(alignment, alignment_weight=1.0)
    layer(X, X)
    real = np.array([[True] * 5, [False] * 5])
    x = tokens(5, batch=2)
    expected = loss(layer, x[:1], x[:1]) / 2.0
    received = loss(layer, x, x, attention_mask=real[:, None])
    assert received == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_padding_with_several_attention_axes():
    """Rows of 3 and columns of 4 tokens; padding said by `(B, 3, 4)` and in full."""
    layer = contracts.MULTI_HEAD.make(
        keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=1.5),
        alignment_weight=1.0,
        attention_axes=(1, 2),
    )
    image = tokens(12, batch=2)
    real = np.arange(12) < np.array([[12], [8]])
    flat = contracts.MULTI_HEAD.make(layer.alignment, alignment_weight=1.0)
    flat(image, image)
    square = image.reshape(2, 3, 4, 8)
    layer(square, square)
    layer.set_weights(flat.get_weights())
    expected = loss(flat, image, image, attention_mask=real[:, None])
    full = np.broadcast_to(real[:, None], (2, 12, 12)) & real[:, :, None]
    full = full.reshape(2, 3, 4, 3, 4)
    assert loss(layer, square, square, attention_mask=full) == pytest.approx(
        expected, 1e-5
    )


def test_a_token_counts_if_anything_may_attend_to_it():
    allowed = np.zeros((1, 3, 4), bool)
    allowed[0, 0, 2] = allowed[0, 2, 2] = allowed[0, 2, 0] = True
    query_mask, key_mask = token_masks(attention_mask=allowed)
    np.testing.assert_array_equal(query_mask, [[True, False, True]])
    np.testing.assert_array_equal(key_mask, [[True, False, True, False]])
    assert token_masks() == (None, None)


@pytest.mark.parametrize(
    "shape",
    [(2, 1, 4, 4), (1, 3, 4, 4), (1, 1, 4, 4), (4, 4), (2, 4, 4), (2, 3, 2, 4, 4)],
)
def test_masks_broadcast_over_the_axes_without_attention(shape):
    """Axes that a mask lacks come after its batch, and one may be of the heads."""
    layer = keras_align.AlignedMultiHeadAttention(
        2, 4, attention_axes=(2,), alignment="mmd"
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")
    mask = np.ones(shape, bool)
    mask[..., 3] = False
    mask.reshape(-1, 4, 4)[0, :, 2] = False
    full = mask.any(2) if len(shape) == 5 else mask
    if len(shape) == 3:
        full = full[:, None]
    losses = []
    for each in (mask, np.broadcast_to(full, (2, 3, 4, 4))):
        layer(x, x, attention_mask=each, training=True)
        losses.append(float(layer.losses[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_what_is_masked_in_one_sample_counts_in_another():
    """With as many samples as there are other axes, one cannot stand for the other."""
    layer = keras_align.AlignedMultiHeadAttention(
        2, 4, attention_axes=(2,), alignment="mmd"
    )
    x = np.random.default_rng(0).normal(size=(3, 3, 4, 8)).astype("float32")
    mask = np.ones((3, 4, 4), bool)
    mask[0, :, 1:] = False
    other = x.copy()
    other[0, :, 1:] += 5.0
    losses = []
    for each in (x, other):
        layer(each, each, attention_mask=mask, training=True)
        losses.append(float(layer.losses[0]))
    assert losses[0] == losses[1]


def test_a_mask_of_queries_alone():
    layer = keras.layers.MultiHeadAttention(2, 4)
    x, y = keras.Input((5, 8)), keras.Input((7, 8))
    mask = keras.Input((5, 1), dtype="bool")
    model = keras.Model([x, y, mask], layer(x, y, attention_mask=mask))
    inputs = [tokens(5, 2), tokens(7, 2), REAL[:, :, None]]
    (record,) = keras_align.record_attention(model, inputs).values()
    np.testing.assert_array_equal(record.query_mask, REAL)
    assert record.key_mask.shape == (2, 7) and record.key_mask.all()
