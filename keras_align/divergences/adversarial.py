"""What AA-GAN trains: the objective of its discriminator, and that of the model."""

from keras import ops

from keras_align.divergences import numerics
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks


def adversarial(
    query_logits: Tensor,
    key_logits: Tensor,
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> Tensor:
    """The GAN objective of AA-GAN, `E_q[log D(q)] + E_k[log(1 - D(k))]`.

    `D` is the sigmoid of the logits. With the best discriminator the value is twice the
    Jensen-Shannon divergence minus `2 log 2`.

    Args:
        query_logits: float tensor `(B, T, N)`.
        key_logits: float tensor `(B, S, N)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.

    Returns:
        float32 tensor `(B, N)`, never positive.
    """
    return _sum_of_means(
        query_logits,
        key_logits,
        query_mask,
        key_mask,
        of_query=lambda logits: -ops.softplus(-logits),  # log D
        of_key=lambda logits: -ops.softplus(logits),  # log(1 - D)
    )


def confusion(
    query_logits: Tensor,
    key_logits: Tensor,
    query_mask: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> Tensor:
    """How sure a discriminator is, `E_q[f(q)] + E_k[f(k)]`.

    `f = -(log D + log(1 - D)) / 2` is the cross-entropy with `1/2`. It is
    smallest, `2 log 2` in all, where `D = 1/2` everywhere, and its gradient with
    respect to a logit, `D - 1/2`, is bounded and vanishes there. Source: Tzeng et al.,
    "Simultaneous Deep Transfer Across Domains and Tasks", ICCV 2015 (arXiv 1510.02192),
    the domain confusion loss.

    Args:
        query_logits: float tensor `(B, T, N)`.
        key_logits: float tensor `(B, S, N)`.
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.

    Returns:
        float32 tensor `(B, N)`, at least `2 log 2`.
    """

    def cross_entropy(logits):
        return 0.5 * (ops.softplus(logits) + ops.softplus(-logits))

    return _sum_of_means(
        query_logits,
        key_logits,
        query_mask,
        key_mask,
        of_query=cross_entropy,
        of_key=cross_entropy,
    )


def _sum_of_means(query_logits, key_logits, query_mask, key_mask, of_query, of_key):
    """`E_q[of_query(logit)] + E_k[of_key(logit)]` over the real tokens, `(B, N)`."""
    logits = {"query_logits": query_logits}, {"key_logits": key_logits}
    checks.query_and_key(*logits, query_mask, key_mask, features=False)
    query_logits, key_logits = numerics.to_float32(query_logits, key_logits)
    query_weight = numerics.token_weights(query_mask, query_logits[..., None])
    key_weight = numerics.token_weights(key_mask, key_logits[..., None])
    total = ops.einsum("bt,btn->bn", query_weight, of_query(query_logits))
    total += ops.einsum("bs,bsn->bn", key_weight, of_key(key_logits))
    return numerics.zero_if_empty(total, query_mask, key_mask)
