"""The alignments: names and configs, values and gradients, masks, extremes."""

import keras
import numpy as np
import oracles
import pytest
import strategies
from execution import MODES, array, dtype_of, value_and_gradients
from keras import ops
from parameters import slow_but
from small_alignments import CLASSES, samples, with_random_weights

from keras_align import alignments
from keras_align.alignments import Alignment, get_alignment

OPTIONS = {
    "ct": {"hidden_dim": 8, "feature_dim": 24, "rho": 0.25},
    "gan": {"hidden_dim": 24, "objective": "minimax"},
    "mmd": {"bandwidth": 0.5},
    "ot": {
        "cost": "sqeuclidean",
        "epsilon": 0.5,
        "max_iterations": 20,
        "tolerance": 0.1,
    },
}
every_alignment = pytest.mark.parametrize("name", CLASSES)


@every_alignment
def test_found_by_name_instance_and_config(name):
    by_name = get_alignment(name)
    assert type(by_name) is CLASSES[name]
    copy = get_alignment(by_name)
    assert copy is not by_name and copy.get_config() == by_name.get_config()
    own = CLASSES[name](**OPTIONS[name], name="own")
    again = get_alignment(alignments.serialize_alignment(own))
    assert type(again) is type(own) and again is not own
    assert again.get_config() == own.get_config()
    assert OPTIONS[name].items() <= own.get_config().items()
    assert get_alignment(None) is None and alignments.serialize_alignment(None) is None


@pytest.mark.parametrize(
    "wrong", ["cosine", "", 3, Alignment, True, keras.layers.Dense(2), ["ct"]]
)
def test_unknown_alignment(wrong):
    with pytest.raises(ValueError, match=r"`alignment`.*'ct'.*'gan'.*'mmd'.*'ot'"):
        get_alignment(wrong)


def test_config_of_something_else():
    config = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="Argument `alignment`"):
        get_alignment(config)


@pytest.mark.parametrize(
    ("name", "option", "wrong"),
    [
        ("ct", "rho", 1.5),
        ("ct", "hidden_dim", 0),
        ("ct", "feature_dim", 1.5),
        ("gan", "hidden_dim", -8),
        ("gan", "objective", "maximin"),
        ("mmd", "bandwidth", 0.0),
        ("ot", "cost", "manhattan"),
        ("ot", "epsilon", 0.0),
        ("ot", "max_iterations", 0),
        ("ot", "tolerance", -0.5),
    ],
)
def test_wrong_options_fail_at_construction(name, option, wrong):
    with pytest.raises(ValueError, match=f"`{option}`.*Received: {option}={wrong!r}"):
        CLASSES[name](**{option: wrong})


def features(network, x):
    return ops.convert_to_numpy(network(x))


def expected(name, alignment, query, key, *masks):
    """The divergence as the paper writes it, of what the networks put out."""
    if name == "mmd":
        options = {"bandwidth": alignment.bandwidth}
        return oracles.maximum_mean_discrepancy(query, key, *masks, **options)
    if name == "ot":
        options = {"cost": alignment.cost, "epsilon": alignment.epsilon}
        return oracles.optimal_transport(query, key, *masks, **options)
    if name == "gan":
        d = alignment.discriminator.network
        return oracles.adversarial(features(d, query), features(d, key), *masks)
    u, t = alignment.critic.network, alignment.navigator
    pairs = [(features(u, x), features(t, x)) for x in (query, key)]
    return oracles.conditional_transport(*pairs, *masks, rho=alignment.rho)


@every_alignment
def test_value_is_the_formula_on_the_networks(name):
    exact = {"max_iterations": 500, "tolerance": 1e-5} if name == "ot" else {}
    alignment = with_random_weights(CLASSES[name](**{**OPTIONS[name], **exact}))
    query, key = samples()
    value = alignment(query, key)
    assert dtype_of(value) == "float32" and value.shape == (3, 2)
    assert alignment.compute_output_shape(query.shape, key.shape) == (3, 2)
    wanted = expected(name, alignment, query, key)
    np.testing.assert_allclose(array(value), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow_on("jax")
@every_alignment
def test_padding_is_invisible(name):
    alignment = with_random_weights(CLASSES[name]())
    query, key = samples()
    fill = np.full((3, 4, 2, 4), strategies.FLOAT16_MAX / 100, "float32")
    longer = [np.concatenate([x, fill], 1) for x in (query, key)]
    masks = [np.arange(x.shape[1]) < n for x, n in zip(longer, (5, 7), strict=True)]
    masks = [np.tile(mask, (3, 1)) for mask in masks]
    value = alignment(*longer, query_mask=masks[0], key_mask=masks[1])
    wanted = array(alignment(query, key))
    np.testing.assert_allclose(array(value), wanted, rtol=1e-5, atol=1e-6)


@every_alignment
def test_a_sample_without_tokens_is_zero_with_finite_gradients(name):
    alignment = CLASSES[name]()
    query, key = samples()
    alignment(query, key)
    mask = np.array([[False] * 7, [True] * 7, [True] + [False] * 6])
    value, gradients = value_and_gradients(
        lambda q, k: alignment(q, k, key_mask=mask),
        query,
        key,
        watch=alignment.trainable_variables,
    )
    assert not value[0].any() and value[1:].all()
    assert all(np.isfinite(each).all() for each in gradients)


ZEROS = np.zeros((2, 3, 1, 4), "float32")
LARGEST = np.full((2, 1, 1, 4), strategies.FLOAT16_MAX, "float32")
EXTREMES = {
    "zero vectors": (ZEROS, ZEROS),
    "equal samples": (ZEROS + 1.0, ZEROS + 1.0),
    "one token": (ZEROS[:, :1] + 1.0, ZEROS[:, :1] - 1.0),
    "largest float16": (LARGEST, -LARGEST),
    "zero and largest": (ZEROS, LARGEST),
}


@pytest.mark.slow_on("jax")
@every_alignment
@pytest.mark.parametrize(
    "extreme", slow_but(("largest float16", "zero and largest"), EXTREMES)
)
def test_finite_at_the_extremes(name, extreme):
    alignment = CLASSES[name]()
    query, key = EXTREMES[extreme]
    alignment(query, key)
    value, gradients = value_and_gradients(
        alignment, query, key, watch=alignment.trainable_variables
    )
    assert np.isfinite(value).all()
    assert all(np.isfinite(each).all() for each in gradients)


@pytest.mark.slow_on("jax")
@every_alignment
@pytest.mark.parametrize(
    "policy",
    slow_but(["mixed_float16"], ["mixed_float16", "mixed_bfloat16", "float64"]),
)
def test_float32_under_every_policy(name, policy):
    query, key = samples()
    wanted = CLASSES[name]()
    wanted(query, key)
    keras.config.set_dtype_policy(policy)
    alignment = CLASSES[name]()
    alignment.build(query.shape, key.shape)
    alignment.set_weights(wanted.get_weights())
    value = alignment(query, key)
    assert dtype_of(value) == "float32"
    assert {weight.dtype for weight in alignment.weights} <= {"float32"}
    np.testing.assert_array_equal(array(value), array(wanted(query, key)))


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("name", slow_but(("ct", "mmd"), CLASSES))
def test_eager_equals_graph_equals_xla(name):
    alignment = with_random_weights(CLASSES[name]())
    query, key = samples()
    weights = alignment.trainable_variables
    results = [
        value_and_gradients(alignment, query, key, watch=weights, mode=mode)
        for mode in MODES
    ]
    # Sinkhorn's exponentials divide by epsilon what rounding leaves.
    rtol, atol = (1e-3, 5e-5) if name == "ot" else (1e-4, 1e-5)
    for value, gradients in results[1:]:
        np.testing.assert_allclose(value, results[0][0], rtol=1e-5, atol=1e-6)
        for gradient, wanted in zip(gradients, results[0][1], strict=True):
            np.testing.assert_allclose(gradient, wanted, rtol=rtol, atol=atol)
