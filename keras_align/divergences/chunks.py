"""Formulas over the pairs of queries and keys, some rows of pairs at a time."""

import math
from collections.abc import Callable, Sequence

from keras import ops

from keras_align.divergences.numerics import Tensor

# Pairs that are formed at a time, over samples and heads: 256 MiB in float32. Of more,
# so many rows. Fewer rows make more steps, more leave the caches. A number of samples
# that is unknown when the graph is made counts as so many.
_WHOLE, _ROWS, _UNKNOWN_SAMPLES = 2**26, 64, 16


def chunk_size(query: Tensor, key: Tensor) -> int | None:
    """How many queries to take at a time, `None` for all.

    Args:
        query: `(B, N, T, H)`.
        key: `(B, N, S, H)`.

    Returns:
        int, or `None` for short sequences and where `N`, `T` or `S` is unknown when
        the graph is made.
    """
    samples, heads, rows = query.shape[:3]
    sizes = heads, rows, key.shape[2]
    if not all(isinstance(size, int) for size in sizes):
        return None
    if not isinstance(samples, int):
        samples = _UNKNOWN_SAMPLES
    if samples * math.prod(sizes) <= _WHOLE:
        return None
    return math.ceil(rows / math.ceil(rows / _ROWS))


def by_chunks(
    function: Callable,
    rows: Sequence[Tensor],
    size: int | None,
    like: tuple[Sequence[Tensor], Sequence[Tensor]],
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
        like: pair of lists of tensors with the shapes and dtypes of what is returned.

    Returns:
        Pair of the lists: the tensors `(B, N, T, .)`, and the sums over all rows.
    """
    if size is None:
        of_rows, sums = function(*rows)
        return list(of_rows), list(sums)
    length = rows[0].shape[2]
    count = math.ceil(length / size)
    chunks = [_split(x, count, size) for x in rows]

    def step(i, of_rows, sums):
        parts, more = function(*(x[i] for x in chunks))
        place = (i, 0, 0, 0, 0)
        pairs = zip(of_rows, parts, strict=True)
        of_rows = [ops.slice_update(whole, place, part[None]) for whole, part in pairs]
        sums = [total + part for total, part in zip(sums, more, strict=True)]
        return i + 1, of_rows, sums

    of_rows, sums = ([ops.zeros_like(x) for x in each] for each in like)
    of_rows = [_split(x, count, size) for x in of_rows]
    _, of_rows, sums = ops.while_loop(
        lambda i, *_: i < count,
        step,
        (ops.zeros((), "int32"), of_rows, sums),
        maximum_iterations=count,
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
