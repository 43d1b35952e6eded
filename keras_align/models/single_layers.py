"""What single layers of a network have of their own, for its config.

A network whose config has the arguments of its constructor alone, as a backbone of
keras-hub, loses that layers were quantized, given another policy, or frozen. Encoders
that a user brings keep it in their own configs. The weights of LoRA are not kept, nor
is a `quantization_config`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_align import keras_internals
from keras_align.alignments import Alignment

_TRAINABLE = "trainable_layers"


def with_single_layers(
    config: dict[str, Any], network: keras.Model, policy: Any, encoders: Any = ()
) -> dict[str, Any]:
    """Returns the config with what single layers have of their own.

    Args:
        config: dict of the arguments of the constructor, but for `dtype`.
        network: built keras.Model.
        policy: dtype policy of the constructor.
        encoders: models in the network that its config serialises.
    """
    layers = dict(_named_layers(network, encoders))
    dtype = keras.dtype_policies.serialize(_saved_policy(layers, policy))
    trainable = _trainable(layers) if network.trainable else {}
    own = {_TRAINABLE: trainable} if trainable else {}
    return {**config, "dtype": dtype, **own}


def without_single_layers(
    config: dict[str, Any],
) -> tuple[dict[str, Any], Callable[..., None]]:
    """Returns the arguments of the constructor, and what to do with the network."""
    arguments = dict(config)
    trainable = arguments.pop(_TRAINABLE, {})

    def freeze(network, encoders=()):
        layers = dict(_named_layers(network, encoders)) if trainable else {}
        unknown = sorted(set(trainable) - set(layers))
        if unknown:
            raise ValueError(
                f"Expected the layers {unknown}, which the config says are frozen. "
                f"Received: a network with the layers {sorted(layers)}"
            )
        if not network.trainable:  # which the constructor says of itself alone
            for layer in network.layers:
                layer.trainable = False
        for name, value in trainable.items():
            layers[name].trainable = value

    return arguments, freeze


def _saved_policy(layers, policy):
    """The policy to make a network again with.

    That of the constructor; where layers have others, as after `network.quantize`, a
    `keras.dtype_policies.DTypePolicyMap` from their paths to these.
    """
    is_map = isinstance(policy, keras.dtype_policies.DTypePolicyMap)
    default = policy.default_policy if is_map else policy
    others = dict(policy.items()) if is_map else {}
    for name, layer in layers.items():
        own = layer.dtype_policy
        if isinstance(own, keras.dtype_policies.DTypePolicyMap):
            own = own[layer.path]
        if own != (policy[name] if is_map else policy):
            others[name] = own
    if not others:
        return policy
    return keras.dtype_policies.DTypePolicyMap(default, others)


def _trainable(layers):
    """By name whether layers are trained that differ in it from those they are in.

    Those come first, as a layer sets all that are in it.
    """
    within = {id(layer): True for layer in layers.values()}
    for layer in layers.values():
        for child in keras_internals.sublayers(layer):
            within[id(child)] = layer.trainable
    return {
        name: layer.trainable
        for name, layer in layers.items()
        if layer.trainable != within[id(layer)]
    }


def _named_layers(
    network: keras.Model, encoders: Any
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers, at any depth, but for those of encoders and alignments.

    Their names are the paths that they have where the network is no part of another.
    """
    of_encoders = {id(each) for each in encoders if each is not None}
    for layer in network.layers:
        is_input = isinstance(layer, keras.layers.InputLayer)
        if not is_input and id(layer) not in of_encoders and layer.path:
            yield from _below(layer, layer.name, len(layer.path))


def _below(layer, name, length):
    yield name, layer
    for child in keras_internals.sublayers(layer):
        if child.path and not isinstance(child, Alignment):
            yield from _below(child, name + child.path[length:], len(child.path))
