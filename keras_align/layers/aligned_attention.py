"""What every aligned attention layer shares."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.adapters.call_arguments import takes_training
from keras_align.adapters.grouping import match_groups
from keras_align.adapters.usual_names import HEAD_SIZE, NUM_HEADS, NUM_KEY_HEADS
from keras_align.adapters.usual_names import first_number as number_of
from keras_align.alignments import Alignment
from keras_align.divergences.numerics import Tensor
from keras_align.layers.alignment_checks import (
    check_divergence,
    check_gradient,
    check_projections,
)
from keras_align.layers.alignment_settings import AlignmentSettings
from keras_align.validation import checks


class AlignedAttention(AlignmentSettings):
    """Base of attention layers that add the alignment loss of keys and queries.

    A layer of your own inherits from it and hands its projected queries and keys to
    `add_alignment_loss` in every `call`. Saving, the weight of the loss, its number in
    the logs, `alignment_report`, `measure_alignment` and `AlignmentWeightSchedule` then
    work as for `AlignedMultiHeadAttention`. Outside training nothing is added to the
    layer's computation.

    The networks of the alignment are built for heads of the size that the attributes
    `num_heads` (`num_key_value_heads` if there are fewer) and `head_dim` or `key_dim`
    say; override `alignment_shape` in a layer without them. A class that also extends
    another layer class names this one first.

    Args:
        *args: arguments of the layer class that is extended too, if any.
        alignment: `"ct"`, `"gan"`, `"ot"`, `"mmd"`, an `Alignment`, its serialised
            config, or `None` for plain attention. Defaults to `"ct"`.
        alignment_weight: float >= 0 or scalar `keras.Variable`, factor of the
            divergence in the training loss. `None`, the default, is the alignment's
            `default_weight`.
        **kwargs: arguments of `keras.layers.Layer`, as `name` and `dtype`.

    Raises:
        ValueError: for an `alignment` or `alignment_weight` that is none of these.

    Example:

    >>> @keras.saving.register_keras_serializable("my_package")
    ... class LinearAttention(keras_align.AlignedAttention):
    ...     def __init__(self, num_heads, head_dim, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.num_heads, self.head_dim = num_heads, head_dim
    ...         self.supports_masking = True
    ...         shape = (None, num_heads, head_dim)
    ...         self.query, self.key, self.value = (
    ...             keras.layers.EinsumDense("btd,dnh->btnh", shape, name=name)
    ...             for name in ("query", "key", "value")
    ...         )
    ...     def build(self, input_shape):
    ...         for each in (self.query, self.key, self.value):
    ...             each.build(input_shape)
    ...     def call(self, x, mask=None):
    ...         query, key, value = self.query(x), self.key(x), self.value(x)
    ...         self.add_alignment_loss(query, key, mask, mask)
    ...         key = keras.ops.softmax(key, axis=1)
    ...         memory = keras.ops.einsum("bsnh,bsnd->bnhd", key, value)
    ...         query = keras.ops.softmax(query)
    ...         return keras.ops.einsum("btnh,bnhd->btnd", query, memory)
    ...     def get_config(self):
    ...         heads = {"num_heads": self.num_heads, "head_dim": self.head_dim}
    ...         return {**super().get_config(), **heads}
    >>> layer = LinearAttention(num_heads=2, head_dim=8, alignment="mmd")
    >>> tuple(layer(keras.random.normal((2, 5, 16)), training=True).shape)
    (2, 5, 2, 8)
    >>> len(layer.losses)
    1
    """

    def __init__(
        self,
        *args: Any,
        alignment: str | dict[str, Any] | Alignment | None = "ct",
        alignment_weight: float | keras.Variable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._set_alignment(alignment, alignment_weight)

    @property
    def alignment_shape(self) -> tuple[int, int]:
        """Number of key heads and size of a head, of which the networks are built."""
        heads = number_of(self, NUM_KEY_HEADS) or number_of(self, NUM_HEADS)
        size = number_of(self, HEAD_SIZE)
        if heads is None or size is None:
            raise ValueError(
                f"Layer '{self.name}' of class {type(self).__name__} must have the "
                "attributes `num_heads` and `head_dim`, or override the property "
                "`alignment_shape`, before it is built. "
                f"Received: num_heads={heads}, head_dim={size}"
            )
        return heads, size

    def _build_alignment(self):
        if self.alignment is not None and not self.alignment.built:
            shape = (None, None, *self.alignment_shape)
            self.alignment.build(shape, shape)

    def _post_build(self):
        if getattr(self, "alignment", None) is not None:
            with keras_internals.name_scope(self):
                self._build_alignment()
        super()._post_build()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.alignment is not None:
            self._note_caller(keras_internals.called_root(), kwargs)
            if not (self.alignment.built or keras_internals.has_build(self)):
                with keras_internals.unlocked(self), keras_internals.name_scope(self):
                    self._build_alignment()
        return super().__call__(*args, **kwargs)

    def add_alignment_loss(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> None:
        """Adds the weighted divergence of one call to the loss; to be used in `call`.

        Outside training, and in a layer without alignment, it does nothing.

        Args:
            query: projected queries `(B, T, N, H)`.
            key: projected keys `(B, S, N, H)`; with fewer heads, which divide N, each
                is matched with the queries of its group.
            query_mask: boolean tensor `(B, T)`, True for real tokens, or `None`.
            key_mask: boolean tensor `(B, S)`, True for real tokens, or `None`.

        Raises:
            ValueError: if queries, keys and masks do not fit together.
        """
        if self.alignment is None or keras_internals.is_inference_call():
            return
        check_gradient(self, self.alignment)
        check_projections(query, key, self.alignment_shape)
        first = {"query": query[:, :, : key.shape[2]]}, {"key": key}
        checks.query_and_key(*first, query_mask, key_mask)
        checks.no_float("query_mask", query_mask)
        checks.no_float("key_mask", key_mask)
        self._add_alignment_loss(query, key, query_mask, key_mask)

    def _note_caller(self, root, given):
        """Remembers the model of a call; warns once if it does not know training."""
        if not isinstance(root, keras.Model) or not root.compiled:
            return
        self._alignment_tracker.note_caller(root)
        told = given.get("training") or keras_internals.training_of_call()
        if not told and not takes_training(root) and not self._training_warned:
            self._training_warned = True
            warnings.warn(
                f"The attention layer '{self.name}' is not aligned in the model "
                f"'{root.name}': its `call` has no argument `training`, so Keras does "
                "not tell its layers that they are in training. Add `training=None`.",
                stacklevel=4,
            )

    def _match_heads(self, query, key, query_mask, key_mask):
        """Queries under the key head that they share, see `match_groups`."""
        return match_groups(query, key, query_mask, key_mask, key.shape[2])

    @keras_internals.full_precision()
    def _add_alignment_loss(self, query, key, query_mask, key_mask):
        """Adds the weighted divergence of one call of training.

        Args:
            query: projected queries `(B, T, N, H)`.
            key: projected keys `(B, S, N, H)`.
            query_mask: boolean `(B, T)`, with 1 for B, or `None`.
            key_mask: boolean `(B, S)`, with 1 for B, or `None`.
        """
        query, key, query_mask, key_mask = self._match_heads(
            query, key, _of_tokens(query_mask, query), _of_tokens(key_mask, key)
        )
        query, key, query_mask, key_mask = self.alignment.sample_tokens(
            query, key, query_mask, key_mask, seed=self._token_seeds
        )
        divergence = self.alignment(
            query, key, query_mask=query_mask, key_mask=key_mask
        )  # (B, N)
        check_divergence(divergence, self.alignment)
        count = ops.cast(ops.size(divergence), "float32")  # 0 in an empty batch
        loss = ops.sum(divergence) / ops.maximum(count, 1.0)
        if keras_internals.called_root() is not None:  # else counted at its first call
            self._alignment_tracker.add(loss, count)
        factor = ops.cast(self.alignment_factor, "float32")
        weighted = self._alignment_weight.tensor() * factor * self._share(loss)
        self.add_loss(ops.cast(weighted, keras.config.floatx()))

    def _share(self, loss):
        """By how much a call changes the mean over the calls of one step."""
        notes = keras_internals.notes_of_step()
        mean, calls = notes.get(id(self), (0.0, 0))
        share = (loss - mean) / (calls + 1)
        notes[id(self)] = mean + share, calls + 1
        return share

    def _get_own_losses(self):
        if self._alignment_tracker is not None:
            self._alignment_tracker.unread = False
        return super()._get_own_losses()

    def _clear_losses(self):
        if not keras_internals.has_losses_of_step(self):
            super()._clear_losses()


def _of_tokens(mask, x):
    """Gives a mask that lacks the batch axis, or has 1 there, the shape `(B, T)`."""
    return None if mask is None else ops.broadcast_to(mask, ops.shape(x)[:2])
