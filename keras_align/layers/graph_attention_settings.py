"""What graph attention is made with: settings, and the weights that follow."""

from typing import Any

import keras
from keras import initializers, layers, ops, regularizers

from keras_align.divergences.numerics import Tensor
from keras_align.graphs import SparseFeatures, dropout, wide_dtype
from keras_align.validation import checks

_INITIALIZERS = ("kernel_initializer", "attention_initializer", "bias_initializer")
_REGULARIZERS = ("kernel_regularizer", "attention_regularizer", "bias_regularizer")
_RATES = ("dropout", "attention_dropout", "feature_dropout")


class GraphAttentionSettings(layers.Layer):
    """The part of `GraphAttention` that is the same for all its scores."""

    def _set_heads(self, units, num_heads, concat_heads, use_bias, activation):
        checks.positive_integer("units", units)
        checks.positive_integer("num_heads", num_heads)
        self.units, self.num_heads = int(units), int(num_heads)
        self.concat_heads, self.use_bias = concat_heads, use_bias
        self.activation = keras.activations.get(activation)

    def _set_rates(self, rates, seed):
        for name, rate in zip(_RATES, rates, strict=True):
            checks.dropout_rate(name, rate)
            setattr(self, name, rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if any(rates) else None

    # Columns of the features of nodes and edges, known when it is built.
    num_features: int | None = None
    num_edge_features: int | None = None

    # Set below under their names.
    kernel_initializer: Any
    kernel_regularizer: Any
    attention_initializer: Any
    attention_regularizer: Any
    bias_initializer: Any
    bias_regularizer: Any

    def _set_initializers(self, *identifiers):
        for name, identifier in zip(_INITIALIZERS, identifiers, strict=True):
            setattr(self, name, initializers.get(identifier))

    def _set_regularizers(self, *identifiers):
        for name, identifier in zip(_REGULARIZERS, identifiers, strict=True):
            setattr(self, name, regularizers.get(identifier))

    @property
    def width(self) -> int:
        """Features of a node in the output."""
        return self.units * (self.num_heads if self.concat_heads else 1)

    @property
    def wide_dtype(self) -> str:
        """Of products, scores and sums over edges: float32, or float64 in float64."""
        return wide_dtype(self.compute_dtype)

    def add_kernel(self, name: str, size: int) -> Any:
        """Adds `(size, N * H)`, a projection to all heads."""
        shape = size, self.num_heads * self.units
        return self._add(name, shape, self.kernel_initializer, self.kernel_regularizer)

    def add_attention(self, name: str) -> Any:
        """Adds `(N, H)`, an attention vector for each head."""
        shape = self.num_heads, self.units
        made = self.attention_initializer, self.attention_regularizer
        return self._add(name, shape, *made)

    def add_bias(self, name: str, size: int) -> Any:
        """Adds `(size,)`."""
        return self._add(name, (size,), self.bias_initializer, self.bias_regularizer)

    def _add(self, name, shape, initializer, regularizer):
        if isinstance(initializer, initializers.Initializer):
            initializer = _another(initializer, len(self.trainable_weights))
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=regularizer,
        )

    def project(self, x: Any, kernel: Any, bias: Any = None) -> Tensor:
        """`(n, F)` -> `(n, N, H)`, with a kernel that `add_kernel` made."""
        sparse = isinstance(x, SparseFeatures)
        projected = x.matmul(kernel) if sparse else ops.matmul(x, kernel)
        projected = projected if bias is None else projected + bias
        return ops.reshape(projected, (-1, self.num_heads, self.units))

    @staticmethod
    def _check_size(name, shape, size=None):
        """Raises unless a shape has two axes, the second of a size that is known."""
        wrong = len(shape) != 2 or shape[-1] is None
        if wrong or (size is not None and shape[-1] != size):
            rows = "n" if name == "features" else "m"
            wanted = "F), with a known F" if size is None else f"{size})"
            raise ValueError(
                f"Argument `{name}` must be of shape ({rows}, {wanted}. Received: "
                f"{name} of shape {tuple(shape)}"
            )

    def widen(self, x: Tensor) -> Tensor:
        """Casts to `wide_dtype`."""
        return ops.cast(x, self.wide_dtype)

    def _drop(self, x, rate, training):
        if not training or not rate:
            return x
        if isinstance(x, SparseFeatures):
            return x.dropped(rate, self.seed_generator)
        return dropout(x, rate, self.seed_generator)

    def compute_output_shape(
        self, features_shape: tuple, *others: Any, **shapes: Any
    ) -> tuple:
        return (features_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        names = ("units", "num_heads", "concat_heads", "use_bias", "seed")
        for name in (*names, *_RATES):
            config[name] = getattr(self, name)
        config["activation"] = keras.activations.serialize(self.activation)
        for name in _INITIALIZERS:
            config[name] = initializers.serialize(getattr(self, name))
        for name in _REGULARIZERS:
            config[name] = regularizers.serialize(getattr(self, name))
        return config


def _another(initializer, place):
    """An initializer like it for a weight; the same draws equal values again."""
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config = config | {"seed": config["seed"] + place}
    return type(initializer).from_config(config)
