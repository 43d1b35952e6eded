"""What a serialised config tells about aligned attention."""

from typing import Any

import keras

from keras_align.conversion.supported import PLAIN_CLASSES

PACKAGE = "keras_align"
# The name and the key are those of previews of 0.1.0, whose files still load.
CONTAINER_NAME = "AlignedHost"
KEY = "keras_align"


def described_alignments(config: Any) -> int:
    """Number of aligned attention layers that a serialised config would rebuild.

    Args:
        config: what `keras.saving.serialize_keras_object` returned.
    """
    return _described(config, set())


def _described(config, seen):
    """As `described_alignments`; what is in the config twice, noted in `seen`, is one.

    A layer that is shared is serialised wherever it is used.
    """
    if isinstance(config, (list, tuple)):
        return sum(_described(item, seen) for item in config)
    if not isinstance(config, dict):
        return 0
    name = config.get("registered_name")
    of_container = name == f"{PACKAGE}>{CONTAINER_NAME}"
    of_attention = name in map(keras.saving.get_registered_name, PLAIN_CLASSES)
    if not (of_container or of_attention):
        return sum(_described(value, seen) for value in config.values())
    if repr(config) in seen:
        return 0
    seen.add(repr(config))
    if of_container:
        return sum(each is not None for each in config["config"][KEY]["alignments"])
    return int(config["config"]["alignment"] is not None)
