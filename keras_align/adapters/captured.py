"""What adapters capture, and whether it fits the layer and its masks."""

import contextlib

from keras import ops


def split_heads(x, num_heads, head_size):
    """`(B, ..., N, H)` or `(B, ..., N * H)` -> `(B, T, N, H)`, `T` all axes between."""
    shape = tuple(x.shape)
    if shape[-1] != num_heads * head_size and shape[-2:] != (num_heads, head_size):
        raise ValueError(
            f"A projection of {num_heads} heads of size {head_size}, as the layer's "
            f"attributes say, cannot have the shape {shape}. Register the class with "
            "an AttentionAdapter that names the right attributes."
        )
    return ops.reshape(x, (ops.shape(x)[0], -1, num_heads, head_size))


@contextlib.contextmanager
def heads_second(captured):
    """Pairs `(B, N, T, H)` that a context manager yields, as `(B, T, N, H)`."""
    pairs = []
    with captured as heads_first:
        yield pairs
    for pair in heads_first:
        pairs.append(tuple(ops.transpose(x, (0, 2, 1, 3)) for x in pair))


def splitting(kept, num_heads, head_size):
    """What `watched` calls to keep a result with an axis of heads in a list."""

    def note(args, kwargs, result):
        kept.append(split_heads(result, num_heads, head_size))

    return note


def check_calls(layer, queries, keys):
    """Raises ValueError unless as many queries as keys were projected."""
    if len(queries) != len(keys):
        raise ValueError(
            f"Layer '{layer.name}': expected as many calls of its projection of "
            f"queries as of keys. Received: {len(queries)} and {len(keys)} calls. "
            "Register the class with an adapter whose `capture` pairs them."
        )


def masked_pairs(adapter, layer, arguments, self_attention, pairs):
    """See `AttentionAdapter.masked_pairs`."""
    if not pairs:
        raise RuntimeError(
            f"The adapter of {type(layer).__name__} captured no queries and keys in a "
            f"call of layer '{layer.name}', so nothing would be aligned."
        )
    masked = []
    for query, key in pairs:
        check_heads(adapter, layer, query, key)
        same = self_attention and _fits(query.shape[1], key.shape[1])
        masks = adapter.token_masks(layer, arguments, same)
        _check_mask(layer, "queries", masks[0], query)
        _check_mask(layer, "keys", masks[1], key)
        masked.append((query, key, *masks))
    return masked


def check_heads(adapter, layer, query, key):
    """Raises ValueError unless queries and keys have the heads of the layer."""
    heads, size = adapter.num_heads(layer), adapter.head_size(layer)
    of_keys = heads, adapter.num_key_heads(layer)
    right = tuple(query.shape[2:]) == (heads, size) and key.shape[3:] == (size,)
    if not right or key.shape[2] not in of_keys:
        raise ValueError(
            f"Layer '{layer.name}' should have queries (B, T, {heads}, {size}) and "
            f"keys (B, S, {of_keys[1]}, {size}), as its attributes say. Its adapter "
            f"found {tuple(query.shape)}, {tuple(key.shape)}. Register the class with "
            "an AttentionAdapter that names the right attributes, or with "
            "`heads_first=True`."
        )


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
