"""Configs of previews of 0.1.0, whose arguments had other names, are read."""

import keras
import pytest
from small_alignments import CLASSES

from keras_align.alignments import get_alignment, networks
from keras_align.alignments.scaled_rate_dense import ScaledRateDense


def renamed(config):
    """A config as a preview of 0.1.0 wrote it."""
    current, earlier = "learning_rate_multiplier", "learning_speed"
    return {name.replace(current, earlier): value for name, value in config.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gan", {"learning_rate_multiplier": 7.0}),
        (
            "ct",
            {
                "critic_learning_rate_multiplier": 0.5,
                "navigator_learning_rate_multiplier": 2.0,
            },
        ),
    ],
)
def test_alignments(name, options):
    config = keras.saving.serialize_keras_object(CLASSES[name](**options))
    earlier = {**config, "config": renamed(config["config"])}
    assert earlier["config"] != config["config"]
    assert options.items() <= get_alignment(earlier).get_config().items()


@pytest.mark.parametrize(
    "layer",
    [
        networks.Highway(learning_rate_multiplier=3.0),
        networks.Critic(learning_rate_multiplier=3.0),
        networks.Navigator(learning_rate_multiplier=3.0),
        networks.Discriminator(learning_rate_multiplier=3.0),
        ScaledRateDense(4, learning_rate_multiplier=3.0),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_networks(layer):
    earlier = renamed(layer.get_config())
    assert "learning_speed" in earlier
    again = type(layer).from_config(earlier)
    assert again.get_config() == layer.get_config()


def test_registered_names_stay():
    names = {
        "EqualizedDense": ScaledRateDense,
        "Highway": networks.Highway,
        "Critic": networks.Critic,
        "Navigator": networks.Navigator,
        "Discriminator": networks.Discriminator,
    }
    for name, cls in names.items():
        assert keras.saving.get_registered_object(f"keras_align>{name}") is cls
