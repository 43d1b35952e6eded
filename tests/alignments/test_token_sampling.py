"""Divergences are estimated on some of the tokens, others in every call."""

import random

import contracts
import keras
import numpy as np
import pytest
from execution import MODES, array, compiled, value_and_gradients
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops
from small_alignments import CLASSES, samples

from keras_align.alignments import Alignment, get_alignment, serialize_alignment
from keras_align.alignments.token_sampling import draw_phases, sample_tokens

every_alignment = pytest.mark.parametrize("name", CLASSES)


class MeanAlignment(Alignment):
    """Distance of the means along the first dimension: linear in every token."""

    def call(self, query, key, query_mask=None, key_mask=None):
        return self.mean(query, query_mask) - self.mean(key, key_mask)

    def mean(self, x, mask):
        weight = ops.ones_like(x[..., 0])
        if mask is not None:
            weight = ops.cast(mask, "float32")[..., None] * weight
        return ops.sum(weight * x[..., 0], 1) / ops.sum(weight, 1)


def numbered(mask, heads=2, size=3):
    """Tokens `(B, T, N, H)` that hold their position, by head and dimension."""
    position = np.arange(mask.shape[1], dtype="float32")[None, :, None, None]
    return np.broadcast_to(position, (*mask.shape, heads, size)).copy()


def selected(mask, max_tokens, phase):
    """The positions that are selected of every sample."""
    x, found = sample_tokens(numbered(mask), mask, max_tokens, phase)
    assert x.shape == (len(mask), max_tokens, 2, 3)
    assert found.shape == (len(mask), max_tokens)
    pairs = zip(array(x), array(found), strict=True)
    return [positions[real, 0, 0].astype(int) for positions, real in pairs]


def phases(count):
    """One for each of the selections that there are of `count` tokens."""
    return (np.arange(count, dtype="float32") + 0.5) / count


@pytest.mark.slow_on("jax")
@given(hnp.arrays(bool, (1, 9)), st.integers(2, 8))
def test_every_real_token_is_selected_equally_often(mask, max_tokens):
    real = np.flatnonzero(mask)
    count = max(len(real), max_tokens)
    found = [selected(mask, max_tokens, phase)[0] for phase in phases(count)]
    for each in found:
        assert len(each) == min(len(real), max_tokens)  # all of a short sample
        assert (np.diff(each) > 0).all() and mask[0, each].all()
        number = np.searchsorted(real, each)
        assert len(np.unique(np.diff(number))) <= 2  # evenly spaced
    often = np.bincount(np.concatenate(found), minlength=9)
    assert (often[real] == min(count, max_tokens * count // max(len(real), 1))).all()


@pytest.mark.slow_on("jax")
def test_any_two_tokens_of_two_stretches_can_be_selected_together():
    mask, seeds = np.ones((1, 8), bool), keras.random.SeedGenerator(0)
    together = np.zeros((8, 8), bool)
    for _ in range(100):
        found = selected(mask, 4, draw_phases(4, seeds))[0]
        together[np.ix_(found, found)] = True
    stretch = np.arange(8) // 2
    same = stretch[:, None] == stretch
    np.testing.assert_array_equal(together, ~same | np.eye(8, dtype=bool))


def test_a_phase_for_every_token_where_the_number_divides():
    found = [selected(np.ones((1, 8), bool), 4, phase)[0] for phase in (0.2, 0.9)]
    np.testing.assert_array_equal(found, [[0, 2, 4, 6], [1, 3, 5, 7]])


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("phase", [0.0, 0.3, 1.0 - 2.0**-24])
def test_where_padding_lies_and_how_much_changes_nothing(phase):
    real = np.array([3, 4, 5, 6, 8, 9, 10])
    expected = selected(np.ones((1, 7), bool), 4, phase)[0]
    for length, places in (
        (11, real),
        (200, real),
        (90, real + 70),
        (20, 2 * real - 5),
    ):
        mask = np.zeros((2, length), bool)
        mask[0, places] = mask[1, :3] = True
        found, short = selected(mask, 4, phase)
        np.testing.assert_array_equal(found, places[expected])
        np.testing.assert_array_equal(short, [0, 1, 2])


def test_the_mean_over_all_phases_is_exact_and_so_is_its_gradient():
    query, key = samples(length=12, other=12)
    mask = np.arange(12) < np.array([[12], [8], [3]])
    alignment = MeanAlignment()
    exact, slopes = value_and_gradients(
        lambda q, k: alignment(q, k, mask, mask), query, key
    )

    def sampled(q, k):
        def once(phase):
            (q_, q_mask), (k_, k_mask) = (
                sample_tokens(x, mask, 4, phase) for x in (q, k)
            )
            return alignment(q_, k_, q_mask, k_mask)

        return sum(map(once, phases(24))) / 24  # 24 is a multiple of every count

    value, gradients = value_and_gradients(sampled, query, key)
    np.testing.assert_allclose(value, exact, rtol=1e-5, atol=1e-6)
    for gradient, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


def state_of(seeds):
    return array(seeds.state).tolist()


def test_nothing_is_drawn_where_there_are_few_tokens_anyway():
    query, key = samples(length=5, other=7)
    masks = np.ones((3, 5), bool), None
    for max_tokens in (7, None):
        seeds = keras.random.SeedGenerator(1)
        alignment = MeanAlignment(max_tokens=max_tokens)
        found = alignment.sample_tokens(query, key, *masks, seed=seeds)
        assert all(a is b for a, b in zip(found, (query, key, *masks), strict=True))
        assert state_of(seeds) == [1, 0]
    alignment = MeanAlignment(max_tokens=6)
    found = alignment.sample_tokens(query, key, *masks, seed=seeds)
    assert found[0] is query and found[2] is masks[0]
    assert found[1].shape == (3, 6, 2, 4) and found[3].shape == (3, 6)
    assert state_of(seeds) == [1, 1]


def test_queries_and_keys_are_of_the_same_tokens_and_of_others_in_each_call():
    alignment, seeds, seen = (
        MeanAlignment(max_tokens=4),
        keras.random.SeedGenerator(1),
        set(),
    )
    x = numbered(np.ones((2, 40), bool))
    for _ in range(8):
        query, key, *masks = alignment.sample_tokens(x, x, seed=seeds)
        np.testing.assert_array_equal(array(query), array(key))
        assert all(array(mask).all() for mask in masks)
        seen.add(tuple(array(query)[0, :, 0, 0]))
    assert len(seen) > 3


def test_draws_follow_the_seed_and_change_no_others():
    def made(alignment, seed=5):
        keras.utils.set_random_seed(seed)
        layer = contracts.MULTI_HEAD.make(alignment)
        return layer, random.random()

    (layer, after), (again, _), (other, _) = made("mmd"), made("mmd"), made("mmd", 6)
    assert state_of(layer._token_seeds) == state_of(again._token_seeds)
    assert state_of(layer._token_seeds) != state_of(other._token_seeds)
    plain, expected = made(None)
    assert after == expected and plain._token_seeds is None


@pytest.mark.parametrize("mode", MODES[1:])
def test_graph_and_xla_select_the_same(mode):
    alignment = MeanAlignment(max_tokens=4)
    query, key = map(ops.convert_to_tensor, samples(length=90, other=9))
    mask = np.arange(90) < np.array([[90], [60], [3]])
    seeds = keras.random.SeedGenerator(1)
    start = ops.convert_to_tensor(array(seeds.state), seeds.state.dtype)

    def sampled(q, k, value):
        with keras.StatelessScope(state_mapping=[(seeds.state, value)]):
            return alignment.sample_tokens(q, k, mask, seed=seeds)

    function = graph(sampled) if mode == "graph" else compiled(sampled)
    results = function(query, key, start)
    expected = alignment.sample_tokens(query, key, mask, seed=seeds)
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(array(one), array(other))


def graph(function):
    import tensorflow as tf

    return tf.function(function)


@pytest.mark.backends("tensorflow")
def test_a_length_that_is_not_known():
    import tensorflow as tf

    shapes = tf.TensorSpec((None, None, 2, 3)), tf.TensorSpec((None, None), tf.bool)

    @tf.function(input_signature=shapes)
    def sampled(x, mask):
        found = sample_tokens(x, mask, 4, 0.7)
        assert found[0].shape[1:] == (4, 2, 3) and found[1].shape[1:] == (4,)
        return found

    for length in (1, 4, 11):
        mask = np.ones((2, length), bool)
        x, real = sampled(numbered(mask), mask)
        expected = selected(mask, 4, 0.7)[0]
        np.testing.assert_array_equal(x[1, : len(expected), 0, 0], expected)
        assert int(tf.reduce_sum(tf.cast(real, "int32"))) == 2 * len(expected)


class Seen(Alignment):
    """Keeps what it was called with."""

    def call(self, query, key, query_mask=None, key_mask=None):
        self.seen = [None if x is None else array(x) for x in (query, key)]
        self.masks = query_mask, key_mask
        return ops.mean(query, (1, 3)) - ops.mean(key, (1, 3))


def tokens_of(layer, *inputs, **arguments):
    """What the alignment of a layer was called with in training."""
    layer(*inputs, training=True, **arguments)
    return layer.alignment.seen


@pytest.mark.slow_on("jax")
def test_cross_attention_and_attention_over_two_axes():
    x, y = (np.ones((2, length, 8), "float32") for length in (9, 6))
    cross = contracts.MULTI_HEAD.make(Seen(max_tokens=4))
    query, key = tokens_of(cross, x, y)
    assert query.shape[:2] == key.shape[:2] == (2, 4)
    layer = contracts.MULTI_HEAD.make(Seen(max_tokens=5), attention_axes=(1, 2))
    grid = np.ones((2, 3, 4, 8), "float32")
    query, key = tokens_of(layer, grid, grid)
    assert query.shape[:2] == key.shape[:2] == (2, 5)


@pytest.mark.slow_on("jax")
def test_every_head_of_a_group_is_among_the_selected_queries():
    layer = contracts.GROUPED_QUERY.make(Seen(max_tokens=6))
    x = contracts.tokens(12)
    query, key = tokens_of(layer, x, x)
    heads = layer.num_query_heads // layer.num_key_value_heads
    assert query.shape[:2] == key.shape[:2] == (len(x), 6) and heads > 1
    projected = array(layer._query_dense(x))[:, :, :heads, None]  # of one group
    same = np.isclose(projected, query[:, None, None, :, 0], atol=1e-6).all(-1)
    assert (same.any(1).sum(-1) >= 6 // heads).all()  # (B, heads)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_only_training_draws_and_a_short_padded_sample_keeps_its_tokens(policy):
    layer = contracts.MULTI_HEAD.make(Seen(max_tokens=4), dtype=policy)
    x = contracts.tokens(20, batch=2)
    mask = np.arange(20) < np.array([[20], [3]])
    layer(x, x), layer(x, x, training=False)
    assert not hasattr(layer.alignment, "seen")
    state = state_of(layer._token_seeds)
    tokens_of(layer, x, x, query_mask=mask, value_mask=mask)
    assert state_of(layer._token_seeds)[1] == state[1] + 1
    for real in layer.alignment.masks:
        np.testing.assert_array_equal(array(real).sum(1), [4, 3])


@every_alignment
def test_config(name):
    assert CLASSES[name]().max_tokens == 64
    alignment = get_alignment(CLASSES[name](max_tokens=32))
    assert alignment.max_tokens == 32
    assert get_alignment(serialize_alignment(alignment)).max_tokens == 32
    earlier = alignment.get_config()
    del earlier["max_tokens"]  # of previews of 0.1.0
    old = CLASSES[name].from_config(earlier)
    assert old.max_tokens is None and old.get_config()["max_tokens"] is None
    assert get_alignment(old).max_tokens is None


class Powered(Alignment):
    """Leaves its config to Keras."""

    def __init__(self, power=2.0, **kwargs):
        super().__init__(**kwargs)
        self.power = power


def test_config_of_own_alignments():
    assert MeanAlignment().max_tokens is None
    assert get_alignment(MeanAlignment(max_tokens=3)).max_tokens == 3
    copy = get_alignment(Powered(3.0, max_tokens=5))
    assert (copy.power, copy.max_tokens) == (3.0, 5)
    assert get_alignment(Powered()).max_tokens is None


@every_alignment
@pytest.mark.parametrize("wrong", [1, 0, -64, 32.0, True, "all"])
def test_wrong_numbers(name, wrong):
    with pytest.raises(
        ValueError, match=f"`max_tokens`.*Received: max_tokens={wrong!r}"
    ):
        CLASSES[name](max_tokens=wrong)


@pytest.mark.parametrize("value", [0, 1, -3, 2.5, "64", True])
def test_a_wrong_number_is_refused_when_it_is_set(value):
    alignment = get_alignment("mmd")
    with pytest.raises(ValueError, match="`max_tokens`"):
        alignment.max_tokens = value
    assert alignment.max_tokens == 64


def test_an_integer_of_numpy_is_taken_for_python_s():
    alignment = MeanAlignment(max_tokens=np.int64(4))
    assert type(alignment.max_tokens) is int and alignment.max_tokens == 4
