"""Of which tokens a call makes queries and keys, and which of them are real."""

from typing import Any

import keras

from keras_align.adapters import usual_names
from keras_align.adapters.token_masks import (
    boolean_mask,
    both,
    masks_of_list,
    token_masks,
)
from keras_align.divergences.numerics import Tensor

USUAL = "usual"


class TokensOfCall:
    """Reads the arguments of an attention layer's call.

    Args:
        mask: see `AttentionAdapter`.
        key_source: see `AttentionAdapter`.
        additive_mask: see `AttentionAdapter`.
    """

    def __init__(
        self, mask: str | None, key_source: str | None, additive_mask: bool
    ) -> None:
        self._mask, self._key_source = mask, key_source
        self._additive = additive_mask

    def is_self_attention(
        self, layer: keras.layers.Layer, arguments: dict[str, Any]
    ) -> bool:
        """Whether queries and keys of a call are of the same tokens.

        Args:
            layer: the attention layer.
            arguments: dict, the arguments of `call` by name, in the signature's order.
        """
        query, source = self._names(arguments)
        if isinstance(arguments.get(query), (list, tuple)):  # all in one argument
            first, *others = arguments[query]
            return all(each is first for each in others)
        return query in arguments and arguments[source] is arguments[query]

    def queries(self, arguments: dict[str, Any]) -> Tensor:
        """The argument of a call with the tokens of which queries are made."""
        return arguments.get(self._names(arguments)[0])

    def _names(self, arguments):
        """Names of the arguments with the tokens of queries and of keys."""
        given = [name for name, x in arguments.items() if x is not None]
        query = "query" if "query" in given else next(iter(given), None)
        names: tuple[str | None, ...] = (self._key_source,)
        if self._key_source == USUAL:
            names = usual_names.KEY_SOURCE
        return query, next((name for name in names if name in given), query)

    def token_masks(
        self,
        layer: keras.layers.Layer,
        arguments: dict[str, Any],
        self_attention: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Which queries and keys of a call are real tokens.

        Args:
            layer: the attention layer.
            arguments: dict, the arguments of `call` by name.
            self_attention: bool, see `is_self_attention`.

        Returns:
            Pair of boolean tensors `(B, T)` and `(B, S)`; either may be `None`, or have
            1 in the place of B. In cross-attention a mask of keys alone says nothing
            of the queries: they all count then.
        """
        masks = self.masks_of_call(layer, arguments, self_attention)
        return token_masks(*masks, self_attention)

    def masks_of_call(
        self,
        layer: keras.layers.Layer,
        arguments: dict[str, Any],
        self_attention: bool,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The masks `(B, T)` and `(B, S)` of a call, and that of its attention."""
        query, source = self._names(arguments)
        if isinstance(arguments.get(query), (list, tuple)):
            name = "mask" if self._mask == USUAL else self._mask
            return *masks_of_list(name and arguments.get(name)), None
        key_mask = arguments.get(f"{source}_mask")
        if source in ("key", "value"):  # no query attends to a key without its value
            key_mask = both(arguments.get("key_mask"), arguments.get("value_mask"))
        mask = self.attention_mask(arguments, self_attention)
        return arguments.get(f"{query}_mask"), key_mask, mask

    def attention_mask(
        self, arguments: dict[str, Any], self_attention: bool
    ) -> Tensor | None:
        """The mask of a call as booleans, with two axes or more for the tokens."""
        names = [self._mask]
        if self._mask == USUAL:
            names = ["attention_mask", "mask"] if self_attention else ["attention_mask"]
        given = (arguments.get(name) for name in names if name)
        mask = next((each for each in given if each is not None), None)
        if mask is None:
            return None
        mask = boolean_mask(mask, self._additive)
        return mask[:, None] if len(mask.shape) == 2 else mask  # (B, 1, S)
