"""Queries and keys brought to a common origin and scale, for the networks."""

from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.numerics import Tensor


def standardize(
    query: Tensor,
    key: Tensor,
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Centres and scales queries and keys of each sample and head together.

    A network that sees them so gives the same loss wherever queries and keys lie and
    however large they are: only their displacement and shapes count. Without it, the
    model can lower an adversarial loss by moving away from where the adversary has
    learned, and at the small learning rates of fine-tuning it does.

    Args:
        query: float tensor `(B, T, N, H)`.
        key: float tensor `(B, S, N, H)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.

    Returns:
        Pair of float32 tensors of the same shapes, over the real tokens of pooled mean
        0 and pooled mean square 1.
    """
    query, key = numerics.to_float32(query, key)
    query_weight = numerics.token_weights(query_mask, query)
    key_weight = numerics.token_weights(key_mask, key)

    def pooled(of_query, of_key):
        mean = ops.einsum("bt,btnh->bnh", query_weight, of_query)
        mean += ops.einsum("bs,bsnh->bnh", key_weight, of_key)
        return 0.5 * mean[:, None]  # (B, 1, N, H)

    center = pooled(query, key)
    query, key = query - center, key - center
    variance = ops.mean(pooled(ops.square(query), ops.square(key)), -1, keepdims=True)
    scale = ops.rsqrt(variance + 1e-6)
    return query * scale, key * scale
