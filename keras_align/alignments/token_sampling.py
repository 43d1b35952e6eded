"""The tokens on which a divergence is estimated, others in every call."""

import keras
from keras import ops

from keras_align.divergences.numerics import Tensor


def needs_sampling(x: Tensor, max_tokens: int | None) -> bool:
    """Whether `(B, T, ...)` has, or may have, more than `max_tokens` tokens."""
    length = x.shape[1]
    return max_tokens is not None and (length is None or length > max_tokens)


def sample_tokens(
    x: Tensor, mask: Tensor | None, max_tokens: int, phases: Tensor
) -> tuple[Tensor, Tensor]:
    """Selects at most `K = max_tokens` real tokens of every sample, spread over it.

    Stratified sampling: the `j`-th that is selected of the `n` real tokens of a sample
    is number `floor((j m + i_j) / K)`, with `m = max(n, K)` and `i_j` in `0..m-1`: one
    out of each of K stretches of the sample. Over all `i_j` every real token is
    selected equally often, so that a mean over the selected ones is an unbiased
    estimate of the mean over all. Tokens of one stretch are never selected together,
    and where K does not divide n, the token on a border can be selected twice. Where
    padding lies, and how much of it, changes nothing.

    Source: W. G. Cochran, Sampling Techniques, 3rd edition, 1977, chapter 5.

    Args:
        x: float tensor `(B, T, N, H)`.
        mask: boolean tensor `(B, T)`, True for real tokens, or `None`.
        max_tokens: int, `K`.
        phases: float32 `(K,)` in [0, 1), gives `i_j` as `floor(phases[j] * m)`. The
            samples of a batch share it.

    Returns:
        Pair of a tensor `(B, K, N, H)` and its boolean mask `(B, K)`, False at the end
        for a sample that has fewer real tokens than K.
    """
    if mask is None:
        mask = ops.ones_like(x[..., 0, 0], dtype="bool")
    counts = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # (B, T)
    total = ops.max(counts, axis=1, keepdims=True, initial=0)  # (B, 1)
    numbers = _selected(total, max_tokens, phases)  # (B, K)
    before = counts[:, None] <= numbers[:, :, None]  # (B, K, T)
    positions = ops.sum(ops.cast(before, "int32"), axis=-1)
    last = ops.shape(x)[1] - 1
    return _take(x, ops.minimum(positions, last)), numbers < total


def draw_phases(
    max_tokens: int, seed: int | keras.random.SeedGenerator | None
) -> Tensor:
    """Draws float32 `(K,)` in [0, 1), in a graph and under XLA the same as eagerly.

    For floats of TensorFlow that is not so.
    """
    steps = 2**22
    drawn = keras.random.randint((max_tokens,), 0, steps, dtype="int32", seed=seed)
    return ops.cast(drawn, "float32") / steps


def _selected(total, max_tokens, phases):
    """The numbers of the selected tokens, too large behind the last one."""
    count = ops.maximum(total, max_tokens)
    first = ops.cast(ops.floor(phases * ops.cast(count, "float32")), "int32")
    first = ops.minimum(first, count - 1)  # where the product was rounded up
    slots = ops.arange(max_tokens, dtype="int32")
    whole, rest = count // max_tokens, count % max_tokens
    # (slots * count + first) // max_tokens, whose product int32 may not hold
    return slots * whole + (slots * rest + first) // max_tokens


def _take(x, positions):
    """Tokens `(B, K, N, H)` at the positions `(B, K)`.

    Each in the form that compilers turn into copies of whole tokens, also backward, and
    that needs no other sample, which may be on another device.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(x, positions, batch_dims=1)
    return ops.take_along_axis(x, positions[:, :, None, None], axis=1)
