"""Which way the gradients of the adversarial alignments go."""

import numpy as np
import pytest
from execution import value_and_gradients
from small_alignments import CLASSES, samples, with_random_weights

from keras_align import divergences
from keras_align.alignments.standardizing import standardize

pytestmark = pytest.mark.slow_on("jax")


def plain_gan(alignment):
    network = alignment.discriminator.network
    return lambda q, k: divergences.adversarial(network(q), network(k))


def plain_ct(alignment):
    u, t = alignment.critic.network, alignment.navigator
    return lambda q, k: divergences.conditional_transport(u(q), u(k), t(q), t(k))


def gradients_of_inputs(function):
    query, key = samples()
    function(query, key)
    return value_and_gradients(function, query, key)


def test_minimax_model_minimises_the_value():
    alignment = with_random_weights(CLASSES["gan"](objective="minimax"))
    value, received = gradients_of_inputs(alignment)

    def plain(query, key):
        query, key = standardize(query, key)
        return plain_gan(alignment)(query, key)

    wanted_value, wanted = gradients_of_inputs(plain)
    np.testing.assert_allclose(value, wanted_value, rtol=1e-5)
    for each, true in zip(received, wanted, strict=True):
        np.testing.assert_allclose(each, true, rtol=1e-3, atol=1e-6)


def test_confusing_model_minimises_the_confusion():
    """The value is the paper's; the inputs' gradient that of `confusion`."""
    alignment = with_random_weights(CLASSES["gan"]())
    value, received = gradients_of_inputs(alignment)
    network = alignment.discriminator.network

    def confusion(query, key):
        query, key = standardize(query, key)
        return divergences.confusion(network(query), network(key))

    wanted_value, _ = gradients_of_inputs(plain_gan(alignment))
    _, wanted = gradients_of_inputs(confusion)
    np.testing.assert_allclose(value, wanted_value, rtol=1e-5)
    for each, true in zip(received, wanted, strict=True):
        assert abs(true).max() > 1e-4
        np.testing.assert_allclose(each, true, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "plain", "adversary"),
    [("gan", plain_gan, "discriminator"), ("ct", plain_ct, "critic")],
)
def test_adversary_moves_the_other_way(name, plain, adversary):
    """Its own gradient is the negated one; the navigator's and the inputs' is not."""
    alignment = with_random_weights(CLASSES[name]())
    query, key = samples()
    against = getattr(alignment, adversary).trainable_variables
    others = [
        v for v in alignment.trainable_variables if all(v is not w for w in against)
    ]
    watch = [*against, *others]
    _, received = value_and_gradients(alignment, query, key, watch=watch)
    _, true = value_and_gradients(plain(alignment), query, key, watch=watch)
    signs = [1, 1] + [-1] * len(against) + [1] * len(others)
    assert len(others) == (4 if name == "ct" else 0)
    np.testing.assert_array_less(0.0, [abs(each).max() for each in true[2:-1]])
    for sign, gradient, wanted in list(zip(signs, received, true, strict=True))[2:]:
        np.testing.assert_allclose(gradient, sign * wanted, rtol=1e-3, atol=1e-5)
