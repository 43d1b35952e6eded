"""The units of modular co-attention: self-attention and guided attention."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor


@dataclass(frozen=True)
class CoAttentionUnits:
    """Builds the units of Yu et al. 2019, section 3.1, as a functional graph.

    Args:
        hidden_dim: int, size of a token.
        num_heads: int.
        intermediate_dim: int, of the feed-forward networks.
        dropout: float.
        dtype: dtype policy.
    """

    hidden_dim: int
    num_heads: int
    intermediate_dim: int
    dropout: float
    dtype: Any

    def self_attention_unit(self, x: Tensor, mask: Tensor | None, name: str) -> Tensor:
        """SA: tokens `(B, T, E)` attend to each other."""
        x = self._attend(x, x, pairs(mask, mask), joined(name, "self_attention"))
        return self._feed_forward(x, joined(name, "feed_forward"))

    def guided_attention_unit(
        self,
        x: Tensor,
        mask: Tensor | None,
        guide: Tensor,
        guide_mask: Tensor | None,
        name: str,
    ) -> Tensor:
        """SGA: tokens `(B, T, E)` attend to each other, then to those of a guide."""
        x = self._attend(x, x, pairs(mask, mask), joined(name, "self_attention"))
        between = pairs(mask, guide_mask)
        x = self._attend(x, guide, between, joined(name, "guided_attention"))
        return self._feed_forward(x, joined(name, "feed_forward"))

    def _attend(self, x, to, mask, name):
        layer = keras.layers.MultiHeadAttention(
            self.num_heads,
            self.hidden_dim // self.num_heads,
            dropout=self.dropout,
            dtype=self.dtype,
            name=name,
        )
        change = layer(x, to, attention_mask=mask)
        if mask is not None:
            # Fused kernels attend to padding where there is nothing else.
            seen = ops.any(mask, axis=-1, keepdims=True)
            change = ops.where(seen, change, ops.zeros_like(change))
        return self._add(x, change, name)

    def _feed_forward(self, x, name):
        sizes = {"inner": (self.intermediate_dim, "relu"), "outer": (self.hidden_dim,)}
        inner, outer = (
            keras.layers.Dense(*size, dtype=self.dtype, name=joined(name, part))
            for part, size in sizes.items()
        )
        drop = keras.layers.Dropout(
            self.dropout, dtype=self.dtype, name=joined(name, "inner_dropout")
        )
        return self._add(x, outer(drop(inner(x))), name)

    def _add(self, x, change, name):
        """LayerNorm(x + Dropout(change))."""
        drop = keras.layers.Dropout(
            self.dropout, dtype=self.dtype, name=joined(name, "dropout")
        )
        add = keras.layers.Add(dtype=self.dtype, name=joined(name, "add"))
        norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype, name=joined(name, "norm")
        )
        return norm(add([x, drop(change)]))


def joined(*names: str) -> str:
    """The name of a layer of its parts."""
    return "_".join(names)


def pairs(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Which tokens see which, `(B, T, S)`, of masks `(B, T)` and `(B, S)`.

    `None` stands for a mask that is True everywhere; of two the result is `None`, and
    of one it has 1 for the axis of the other.
    """
    if mask is None:
        return None if other is None else other[:, None, :]
    rows = mask[:, :, None]
    return rows if other is None else ops.logical_and(rows, other[:, None, :])
