"""AA-GAN: a discriminator distinguishes queries from keys."""

from typing import Any

from keras import ops

from keras_align import divergences
from keras_align.alignments.adversary import Adversary
from keras_align.alignments.alignment import register_alignment
from keras_align.alignments.built_in import BuiltInAlignment
from keras_align.alignments.networks import Discriminator
from keras_align.alignments.standardizing import standardize
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks

OBJECTIVES = ("confusion", "minimax")


@register_alignment("gan")
class AdversarialAlignment(BuiltInAlignment):
    """Adversarial alignment, AA-GAN: `E_q[log D(q)] + E_k[log(1 - D(k))]`.

    The discriminator maximises it. It sees queries and keys standardised together, so
    that moving or scaling both changes nothing.

    Under the objective "minimax", the paper's, the model minimises the same, through a
    gradient reversal. That objective has no lower bound: its gradient vanishes where
    the discriminator is right, and is largest where the discriminator is fooled, so
    that queries and keys move on past each other. Under "confusion" the model makes the
    discriminator unsure instead, see `divergences.confusion`: the gradient is largest
    where the discriminator is sure and vanishes where `D = 1/2`. Both have the same
    equilibrium; the value of the alignment is the paper's formula under either.

    Args:
        hidden_dim: int, width of the discriminator's hidden layer. Defaults to `16`.
        learning_rate_multiplier: float > 0, how much faster than the model the
            discriminator learns, see `scaled_rate_dense.ScaledRateDense`. Defaults to
            `30.0`.
        objective: `"confusion"` or `"minimax"`, what the model minimises. Defaults to
            `"confusion"`.
        max_tokens: int > 1, or `None` for all tokens, see `Alignment`. Defaults to
            `64`; `None` for a config of a preview of 0.1.0, which had no such argument.
        projections_only: bool or `None`, whether the loss trains the projections of
            queries and keys alone, see `Alignment`. Defaults to `None`, which is `True`
            in layers of Keras and keras-hub. With `False`, as in the paper's released
            code, the gradient reaches all layers below; on a task that is hard to
            learn, queries and keys can then run away from the discriminator.

    Call arguments and returns: see `Alignment`.

    Example:

    >>> alignment = AdversarialAlignment()
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    """

    default_weight = 0.1
    default_projections_only = True

    def __init__(
        self,
        hidden_dim: int = 16,
        learning_rate_multiplier: float = 30.0,
        objective: str = "confusion",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        checks.choice("objective", objective, OBJECTIVES)
        self.hidden_dim = hidden_dim
        self.learning_rate_multiplier = learning_rate_multiplier
        self.objective = objective
        self.discriminator = Adversary(
            Discriminator(hidden_dim, learning_rate_multiplier, name="discriminator"),
            name="adversary",
        )

    def build(self, query_shape: tuple, key_shape: tuple | None = None) -> None:
        self.discriminator.build((None, query_shape[-1]))

    def call(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        pair = standardize(query, key, query_mask, key_mask)
        masks = query_mask, key_mask
        if self.objective == "minimax":
            of_query, of_key = map(self.discriminator, pair)
            return divergences.adversarial(of_query, of_key, *masks)
        of_query, of_key = map(self.discriminator.with_constant_input, pair)
        value = divergences.adversarial(of_query, of_key, *masks)
        of_query, of_key = map(self.discriminator.with_constant_weights, pair)
        confusion = divergences.confusion(of_query, of_key, *masks)
        return value + (confusion - ops.stop_gradient(confusion))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "learning_rate_multiplier": self.learning_rate_multiplier,
            "objective": self.objective,
        }
