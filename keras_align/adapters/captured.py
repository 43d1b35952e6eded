"""What adapters capture, and whether it fits the layer and its masks."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor


def split_heads(
    x: Tensor, layer: keras.layers.Layer, num_heads: int, head_size: int
) -> Tensor:
    """`(B, ..., N, H)` or `(B, ..., N * H)` -> `(B, T, N, H)`, `T` all axes between.

    Args:
        x: output of a projection of `layer`.
        layer: the attention layer.
        num_heads: int.
        head_size: int.
    """
    shape, flat = tuple(x.shape), num_heads * head_size
    if shape[-1] != flat and shape[-2:] != (num_heads, head_size):
        raise ValueError(
            f"Layer '{layer.name}': a projection of {num_heads} heads of size "
            f"{head_size}, as the layer's attributes say, cannot have the shape "
            f"{shape}. Register the class with an AttentionAdapter that names the "
            "right attributes."
        )
    if len(shape) < (3 if shape[-1] == flat else 4):
        raise ValueError(
            f"Layer '{layer.name}': expected a projection (B, T, {flat}) or "
            f"(B, T, {num_heads}, {head_size}), samples, tokens and heads. Received: "
            f"the shape {shape}, without an axis of tokens. Call the layer on inputs "
            "with a batch axis, or register the class with an AttentionAdapter whose "
            "`capture` adds the axis."
        )
    return ops.reshape(x, (ops.shape(x)[0], -1, num_heads, head_size))


@contextlib.contextmanager
def converted(
    captured: contextlib.AbstractContextManager[list[tuple[Tensor, Tensor]]],
    convert: Callable[[Tensor], Tensor],
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The pairs that a context manager yields, each tensor converted by a function."""
    pairs = []
    with captured as found:
        yield pairs
    pairs.extend(tuple(map(convert, pair)) for pair in found)


def splitting(
    kept: list[Tensor], adapter: Any, layer: keras.layers.Layer, num_heads: int
) -> Callable[[tuple, dict, Tensor], None]:
    """What `watched` calls to keep a result with an axis of heads in a list."""

    def note(args, kwargs, result):
        kept.append(split_heads(result, layer, num_heads, adapter.head_size(layer)))

    return note


def check_calls(
    layer: keras.layers.Layer, queries: list[Tensor], keys: list[Tensor]
) -> None:
    """Raises ValueError unless as many queries as keys were projected."""
    if len(queries) != len(keys):
        raise ValueError(
            f"Layer '{layer.name}': expected as many calls of its projection of "
            f"queries as of keys. Received: {len(queries)} and {len(keys)} calls. "
            "Register the class with an adapter whose `capture` pairs them."
        )


def masked_pairs(
    adapter: Any,
    layer: keras.layers.Layer,
    arguments: dict[str, Any],
    self_attention: bool,
    pairs: Sequence[tuple[Any, ...]],
) -> list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
    """Everything that a call tells about its queries and keys.

    Args:
        adapter: the `AttentionAdapter` of the layer.
        layer: the attention layer.
        arguments: dict, the arguments of `call` by name.
        self_attention: bool, see `AttentionAdapter.is_self_attention`.
        pairs: list that `AttentionAdapter.capture` yielded; masks may follow a query
            and a key.

    Returns:
        List of query, key, query mask and key mask, see `AttentionAdapter.capture` and
        `token_masks`. Unequal numbers of queries and keys are cross-attention.

    Raises:
        RuntimeError: if nothing was captured.
        ValueError: if queries and keys do not fit the layer, or masks the tokens.
    """
    if not pairs:
        raise RuntimeError(
            f"The adapter of {type(layer).__name__} captured no queries and keys in a "
            f"call of layer '{layer.name}', so nothing would be aligned."
        )
    masked = []
    for query, key, *masks in pairs:
        check_heads(adapter, layer, query, key)
        if not masks:
            same = self_attention and _fits(query.shape[1], key.shape[1])
            masks = adapter.token_masks(layer, arguments, same)
        masks = [_spread(*each) for each in zip(masks, (query, key), strict=True)]
        _check_mask(layer, "queries", masks[0], query)
        _check_mask(layer, "keys", masks[1], key)
        masked.append((query, key, *masks))
    return masked


def check_heads(
    adapter: Any, layer: keras.layers.Layer, query: Tensor, key: Tensor
) -> None:
    """Raises ValueError unless queries and keys have the heads of the layer."""
    heads, size = adapter.num_heads(layer), adapter.head_size(layer)
    of_keys = heads, adapter.num_key_heads(layer)
    shapes = tuple(query.shape), tuple(key.shape)
    right = shapes[0][2:] == (heads, size) and shapes[1][3:] == (size,)
    if right and shapes[1][2] in of_keys:
        return
    remedy = (
        "Register the class with an AttentionAdapter that names the right attributes, "
        "or with `heads_first=True`."
    )
    if 3 in map(len, shapes):
        remedy = (
            "An axis is missing: call the layer on inputs with a batch axis, or "
            "register the class with an AttentionAdapter whose `capture` adds the axis."
        )
    raise ValueError(
        f"Layer '{layer.name}' should have queries (B, T, {heads}, {size}) and keys "
        f"(B, S, {of_keys[1]}, {size}), as its attributes say. Its adapter found "
        f"{shapes[0]}, {shapes[1]}. {remedy}"
    )


def _spread(mask, tokens):
    """A mask `(B, 1)`, as of an attention mask `(B, T, 1)`, as one of all tokens."""
    if mask is None or len(mask.shape) != 2 or mask.shape[1] != 1:
        return mask
    return ops.broadcast_to(mask, (ops.shape(mask)[0], ops.shape(tokens)[1]))


def _check_mask(layer, kind, mask, tokens):
    """Raises unless a mask `(B, T)`, with 1 for B, is of tokens `(B, T, N, H)`."""
    if mask is None:
        return
    shape, (batch, length) = tuple(mask.shape), tuple(tokens.shape)[:2]
    if len(shape) != 2 or not _fits(shape[0], 1, batch) or not _fits(shape[1], length):
        raise ValueError(
            f"Layer '{layer.name}': expected a mask of the shape {(batch, length)} for "
            f"its {kind}, samples and tokens. Received: a mask of the shape {shape}. "
            "Register the class with an AttentionAdapter whose `mask` and `key_source` "
            "name the right arguments of `call`."
        )


def _fits(size, *allowed):
    """Whether a size is an allowed one, as far as they are known."""
    return size is None or None in allowed or size in allowed
