"""The divergences: values and gradients against float64, masks, extremes, arguments."""

import functools

import numpy as np
import oracles
import pytest
import strategies
from execution import MODES, dtype_of, quick, value_and_gradients
from hypothesis import example, given
from keras import ops
from parameters import slow_but

from keras_align import divergences

# On JAX `test_alignments.py` has the value of each.
pytestmark = pytest.mark.slow_on("jax")


def gan(query, key, query_mask=None, key_mask=None, **options):
    """`adversarial` with the sum of the features as logit."""
    return divergences.adversarial(
        ops.sum(query, -1), ops.sum(key, -1), query_mask, key_mask, **options
    )


def confusion(query, key, query_mask=None, key_mask=None, **options):
    """`confusion` with the first feature as logit."""
    return divergences.confusion(
        query[..., 0], key[..., 0], query_mask, key_mask, **options
    )


def confusion_oracle(query, key, query_mask=None, key_mask=None):
    return oracles.confusion(query[..., 0], key[..., 0], query_mask, key_mask)


def ct(query, key, query_mask=None, key_mask=None, **options):
    """`conditional_transport` with `u(x) = x` and `t(x) = x / 4`."""
    features = (query, key, query / 4.0, key / 4.0)
    return divergences.conditional_transport(*features, query_mask, key_mask, **options)


def gan_oracle(query, key, query_mask=None, key_mask=None):
    return oracles.adversarial(query.sum(-1), key.sum(-1), query_mask, key_mask)


def ct_oracle(query, key, query_mask=None, key_mask=None, **options):
    queries, keys = (query, query / 4.0), (key, key / 4.0)
    return oracles.conditional_transport(queries, keys, query_mask, key_mask, **options)


mmd = divergences.maximum_mean_discrepancy
# To compare with a converged plan the iterations must converge too.
ot = functools.partial(
    divergences.optimal_transport, max_iterations=500, tolerance=2e-5
)
CASES = {
    "gan": (gan, gan_oracle, {}),
    "confusion": (confusion, confusion_oracle, {}),
    "ct": (ct, ct_oracle, {}),
    "ct forward": (ct, ct_oracle, {"rho": 1.0}),
    "mmd": (mmd, oracles.maximum_mean_discrepancy, {"bandwidth": 1.5}),
    "mmd unbiased": (mmd, oracles.maximum_mean_discrepancy, {"unbiased": True}),
    "ot": (ot, oracles.optimal_transport, {"epsilon": 0.5}),
    "ot sqeuclidean": (
        ot,
        oracles.optimal_transport,
        {"cost": "sqeuclidean", "epsilon": 2.0},
    ),
}
METHODS = [case for case in CASES if case not in ("ct forward", "mmd unbiased")]
every_case = pytest.mark.parametrize("case", CASES)
every_method = pytest.mark.parametrize("case", METHODS)


def some_samples(length=5, other=4, batch=2, heads=2, size=3, seed=0):
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(batch, length, heads, size))
    key = rng.normal(size=(batch, other, heads, size)) + 0.7
    return query.astype("float32"), key.astype("float32")


@every_case
@given(drawn=strategies.samples())
def test_equals_float64(case, drawn):
    function, oracle, options = CASES[case]
    compute = quick(functools.partial(function, **options))
    value = compute(drawn.query, drawn.key, *drawn.masks)
    expected = oracle(drawn.query, drawn.key, *drawn.masks, **options)
    assert dtype_of(value) == "float32"
    atol = 4e-5 if function is ot else 2e-6  # the iterations' tolerance times the cost
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("epsilon", slow_but((0.1, 1.0), (0.01, 0.1, 1.0)))
@pytest.mark.parametrize("shape", [(12, 12), (7, 20)])
def test_optimal_transport_equals_pot(epsilon, shape):
    query, key = some_samples(*shape, size=8)
    mask = np.arange(shape[1]) < np.array([[5], [shape[1]]])
    expected = oracles.optimal_transport(query, key, None, mask, epsilon=epsilon)
    compute = quick(functools.partial(ot, epsilon=epsilon, max_iterations=2000))
    value = compute(query, key, None, mask)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@every_case
def test_gradients_equal_finite_differences(case):
    function, oracle, options = CASES[case]
    if oracle is oracles.optimal_transport:
        oracle = oracles.entropic_objective  # the plan is a constant: envelope theorem
    query, key = some_samples(4, 3, heads=1, size=2)
    masks = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool), None

    def differences(changed, arguments):
        def total(x):
            given = {"query": query, "key": key, changed: x}
            return oracle(given["query"], given["key"], *masks, **options).sum()

        return oracles.finite_differences(total, arguments, step=1e-4)

    _, gradients = value_and_gradients(
        lambda q, k: function(q, k, *masks, **options), query, key
    )
    np.testing.assert_allclose(
        gradients[0], differences("query", query), rtol=1e-3, atol=2e-5
    )
    np.testing.assert_allclose(
        gradients[1], differences("key", key), rtol=1e-3, atol=2e-5
    )


@pytest.mark.parametrize("case", slow_but(METHODS, CASES))
def test_eager_equals_graph_equals_xla(case):
    function, _, options = CASES[case]
    query, key = some_samples()
    mask = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
    results = [
        value_and_gradients(
            lambda q, k: function(q, k, None, mask, **options), query, key, mode=mode
        )
        for mode in MODES
    ]
    for value, gradients in results[1:]:
        np.testing.assert_allclose(value, results[0][0], rtol=1e-5, atol=1e-6)
        for gradient, expected in zip(gradients, results[0][1], strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@every_case
def test_padding_is_invisible(case):
    """Neither its length nor what stands in it changes value or gradients."""
    function, _, options = CASES[case]
    query, key = some_samples()
    short_q, short_k = np.ones((2, 5), bool), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    rubbish = np.float32(strategies.FLOAT16_MAX)

    def padded(x, mask, count, fill):
        extra = np.full((2, count, *x.shape[2:]), fill, "float32")
        more = np.zeros((2, count), bool)
        return np.concatenate([x, extra], 1), np.concatenate([mask > 0, more], 1)

    def run(fill, count):
        (q, q_mask), (k, k_mask) = (
            padded(query, short_q, count, fill),
            padded(key, short_k, 2 * count, -fill),
        )
        value, (dq, dk) = value_and_gradients(
            lambda q, k: function(q, k, q_mask, k_mask, **options), q, k
        )
        assert not dq[:, 5:].any() and not dk[:, 4:].any()
        return value, dq[:, :5], dk[:, :4]

    expected = run(0.0, 0)
    for result in (run(0.0, 9), run(rubbish, 3)):
        for received, wanted in zip(result, expected, strict=True):
            np.testing.assert_allclose(received, wanted, rtol=1e-5, atol=1e-7)


@every_case
@pytest.mark.parametrize("empty", ["query", "key", "both"])
def test_a_sample_without_tokens_is_zero(case, empty):
    function, _, options = CASES[case]
    query, key = some_samples()
    q_mask, k_mask = np.ones((2, 5), bool), np.ones((2, 4), bool)
    q_mask[0], k_mask[0] = empty == "key", empty == "query"
    value, gradients = value_and_gradients(
        lambda q, k: function(q, k, q_mask, k_mask, **options), query, key
    )
    assert not value[0].any() and value[1].all()
    assert all(np.isfinite(each).all() for each in gradients)
    assert not gradients[0][0].any() and not gradients[1][0].any()


ZEROS = np.zeros((2, 3, 1, 2), "float32")
LARGEST = np.full((2, 1, 1, 2), strategies.FLOAT16_MAX, "float32")


@every_case
@given(drawn=strategies.degenerate_samples())
@example(drawn=strategies.Samples(ZEROS, ZEROS, None, None))
@example(drawn=strategies.Samples(ZEROS, LARGEST, None, None))
@example(drawn=strategies.Samples(LARGEST, -LARGEST, None, None))
@example(drawn=strategies.Samples(LARGEST, LARGEST, None, np.zeros((2, 1), bool)))
def test_finite_at_the_extremes(case, drawn):
    function, _, options = CASES[case]
    if function is ot:
        options = {**options, "max_iterations": 20}
    value, gradients = value_and_gradients(
        lambda q, k: function(q, k, *drawn.masks, **options), drawn.query, drawn.key
    )
    assert np.isfinite(value).all()
    assert all(np.isfinite(each).all() for each in gradients)


@every_case
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_computed_in_float32(case, dtype):
    function, _, options = CASES[case]
    query, key = (ops.cast(x, dtype) for x in some_samples())
    if "gan" in case or "ct" in case:  # keep what these test functions add exact
        query, key = ops.round(query), ops.round(key)
    compute = quick(functools.partial(function, **options))
    value = compute(query, key)
    exact = compute(ops.cast(query, "float32"), ops.cast(key, "float32"))
    assert dtype_of(value) == "float32"
    np.testing.assert_allclose(value, exact, rtol=1e-6)  # float16 keeps 5e-4


@every_case
def test_order_of_tokens_does_not_matter(case):
    function, _, options = CASES[case]
    query, key = some_samples()
    compute = quick(functools.partial(function, **options))
    value = compute(query, key)
    shuffled = compute(query[:, ::-1], key[:, [2, 0, 3, 1]])
    np.testing.assert_allclose(value, shuffled, rtol=1e-5, atol=1e-6)
