"""What single layers of a network have of their own, for its config.

A network whose config has the arguments of its constructor alone, as a backbone of
keras-hub, loses that layers were quantized, given another policy, or frozen.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_align.alignments import Alignment

_FROZEN = "frozen_layers"


def with_single_layers(
    config: dict[str, Any], network: keras.Model, policy: Any
) -> dict[str, Any]:
    """Returns the config with what single layers have of their own.

    Args:
        config: dict of the arguments of the constructor, but for `dtype`.
        network: built keras.Model.
        policy: dtype policy of the constructor.
    """
    dtype = keras.dtype_policies.serialize(saved_policy(network, policy))
    frozen = [layer.path for layer in _layers(network) if not layer.trainable]
    if not network.trainable or not frozen:
        return {**config, "dtype": dtype}
    return {**config, "dtype": dtype, _FROZEN: frozen}


def without_single_layers(
    config: dict[str, Any],
) -> tuple[dict[str, Any], Callable[[keras.Model], None]]:
    """Returns the arguments of the constructor, and what to do with the network."""
    arguments = dict(config)
    frozen = frozenset(arguments.pop(_FROZEN, ()))

    def freeze(network):
        for layer in _layers(network):
            if layer.path in frozen:
                layer.trainable = False

    return arguments, freeze


def saved_policy(network: keras.Model, policy: Any) -> Any:
    """Returns the policy to make a network again with.

    Args:
        network: built keras.Model.
        policy: that of its constructor.

    Returns:
        The policy of all layers; where some have others, as after `network.quantize`, a
        `keras.dtype_policies.DTypePolicyMap` from their paths to these.
    """
    is_map = isinstance(policy, keras.dtype_policies.DTypePolicyMap)
    default = policy.default_policy if is_map else policy
    others = {}
    for layer in _layers(network):
        own = layer.dtype_policy
        if isinstance(own, keras.dtype_policies.DTypePolicyMap):
            own = own[layer.path]
        if own != default:
            others[layer.path] = own
    if not others:
        return default
    return keras.dtype_policies.DTypePolicyMap(default, others)


def _layers(network):
    """The layers that have weights, at any depth, but for those of alignments."""
    layers = list(network._flatten_layers(include_self=False))
    of_alignments = {
        id(layer)
        for each in layers
        if isinstance(each, Alignment)
        for layer in each._flatten_layers()
    }
    return [
        layer
        for layer in layers
        if layer.path and layer.weights and id(layer) not in of_alignments
    ]
