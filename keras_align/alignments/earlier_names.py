"""The names that arguments had in files of earlier versions."""

from typing import Any

from keras import layers

# In previews of 0.1.0, also with the name of a network before them.
_EARLIER, _CURRENT = "learning_speed", "learning_rate_multiplier"


class EarlierNames(layers.Layer):
    """Mixin of a layer whose `from_config` also reads configs of earlier versions."""

    @classmethod
    def from_config(cls, config: dict) -> Any:
        current = {_current_name(name): value for name, value in config.items()}
        return super().from_config(current)


def _current_name(name):
    is_earlier = name == _EARLIER or name.endswith(f"_{_EARLIER}")
    return name.removesuffix(_EARLIER) + _CURRENT if is_earlier else name
