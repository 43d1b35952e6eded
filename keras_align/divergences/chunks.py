"""Formulas over the pairs of queries and keys, some rows of pairs at a time."""

import math
from collections.abc import Callable, Sequence

from keras import ops

from keras_align.divergences.numerics import Tensor

# Pairs of one sample, over its heads, that are formed as a whole (64 MiB in float32);
# of more, so many rows at a time. Fewer rows make more steps, more leave the caches.
_WHOLE, _ROWS = 2**24, 64


def chunk_size(query: Tensor, key: Tensor) -> int | None:
    """How many queries to take at a time, `None` for all.

    Args:
        query: `(B, N, T, H)`.
        key: `(B, N, S, H)`.

    Returns:
        int, or `None` for short sequences and where `T` or `S` is unknown when the
        graph is made.
    """
    heads, rows = query.shape[1:3]
    columns = key.shape[2]
    if None in (heads, rows, columns) or heads * rows * columns <= _WHOLE:
        return None
    return min(rows, _ROWS)


def by_chunks(
    function: Callable, rows: Sequence[Tensor], size: int | None
) -> tuple[list[Tensor], list[Tensor]]:
    """Calls a function of rows on chunks of them, so that no array of all pairs lives.

    Memory grows with `T + S` instead of `T * S`. Nothing is kept for a backward pass:
    it is for constants, as the closed forms of the gradients are.

    Args:
        function: takes chunks `(., ., C, .)` of all `rows` and returns a pair of
            lists: tensors `(B, N, C, .)` of these rows, and tensors that are sums over
            them. Rows that are appended to fill the last chunk are 0 everywhere, and
            must add nothing to the sums.
        rows: tensors `(., ., T, .)`.
        size: int `C`, or `None` for one call with all rows.

    Returns:
        Pair of the lists: the tensors `(B, N, T, .)`, and the sums over all rows.
    """
    if size is None:
        of_rows, sums = function(*rows)
        return list(of_rows), list(sums)
    length = rows[0].shape[2]
    count = math.ceil(length / size)
    chunks = [_split(x, count, size) for x in rows]
    of_rows, sums = function(*(x[0] for x in chunks))
    later = [[0, count - 1], [0, 0], [0, 0], [0, 0], [0, 0]]
    of_rows = [ops.pad(x[None], later) for x in of_rows]

    def step(i, of_rows, sums):
        parts, more = function(*(x[i] for x in chunks))
        place = (i, 0, 0, 0, 0)
        pairs = zip(of_rows, parts, strict=True)
        of_rows = [ops.slice_update(whole, place, part[None]) for whole, part in pairs]
        sums = [total + part for total, part in zip(sums, more, strict=True)]
        return i + 1, of_rows, sums

    state = (ops.ones((), "int32"), of_rows, list(sums))
    _, of_rows, sums = ops.while_loop(
        lambda i, *_: i < count, step, state, maximum_iterations=count
    )
    return [_join(x, length) for x in of_rows], list(sums)


def _split(x, count, size):
    """`(., ., T, D)` -> `(count, ., ., size, D)`, filled with 0."""
    missing = count * size - x.shape[2]
    x = ops.pad(x, [[0, 0], [0, 0], [0, missing], [0, 0]])
    first, second, _, last = ops.shape(x)
    x = ops.reshape(x, (first, second, count, size, last))
    return ops.transpose(x, (2, 0, 1, 3, 4))


def _join(x, length):
    """The inverse of `_split`."""
    count, first, second, size, last = ops.shape(x)
    x = ops.transpose(x, (1, 2, 0, 3, 4))
    return ops.reshape(x, (first, second, count * size, last))[:, :, :length]
