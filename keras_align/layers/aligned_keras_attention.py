"""What the aligned subclasses of the attention layers of Keras share."""

from typing import Any

import keras

from keras_align.adapters.keras_attention import KERAS_ADAPTER
from keras_align.layers.adapted_attention import AdaptedAttention

# What Keras takes for these arguments.
Initializer = str | dict[str, Any] | keras.initializers.Initializer
Regularizer = str | dict[str, Any] | keras.regularizers.Regularizer | None
Constraint = str | dict[str, Any] | keras.constraints.Constraint | None
_Shape = tuple[int | None, ...]


class AlignedKerasAttention(AdaptedAttention):
    """Mixin for the attention layers of Keras: `build` and the config."""

    adapter = KERAS_ADAPTER

    def build(
        self,
        query_shape: _Shape,
        value_shape: _Shape,
        key_shape: _Shape | None = None,
    ) -> None:
        # Keras keeps this method in the object, which may be plain when it is called.
        aligned = isinstance(self, AlignedKerasAttention)
        plain = self.plain_class if aligned else type(self)
        plain.build(self, query_shape, value_shape, key_shape)
        if aligned:
            self._build_alignment()

    def get_config(self) -> dict[str, Any]:
        plain = {"alignment": None, "alignment_weight": self._weight_value}
        return {**super().get_config(), **(self.alignment_options or plain)}
