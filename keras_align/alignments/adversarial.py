"""AA-GAN: a discriminator tells queries from keys."""

from keras import ops

from keras_align import divergences
from keras_align.alignments.adversary import Adversary
from keras_align.alignments.alignment import (
    Alignment,
    register_alignment,
    standardize,
)
from keras_align.alignments.networks import Discriminator
from keras_align.validation import checks

OBJECTIVES = ("confusion", "minimax")


@register_alignment("gan")
class AdversarialAlignment(Alignment):
    """Adversarial alignment, AA-GAN: `E_q[log D(q)] + E_k[log(1 - D(k))]`.

    The discriminator maximises it. It sees queries and keys standardised together, so
    that nothing is won by moving or stretching both clouds.

    Under the objective "minimax", the paper's, the model minimises the same, through a
    gradient reversal. That objective has no lower bound: its gradient vanishes where
    the discriminator is right, and is largest where the discriminator is fooled, so
    that the clouds move on past each other. Under "confusion" the model makes the
    discriminator unsure instead, see `divergences.confusion`: it is pulled where the
    discriminator is right and left alone where it can but guess. Both have the same
    equilibrium; the value of the alignment is the paper's formula under either.

    Args:
        hidden_dim: int, width of the discriminator's hidden layer. Defaults to `16`.
        learning_speed: float > 0, how much faster than the model the discriminator
            learns, see `equalized_dense.EqualizedDense`. Defaults to `30.0`.
        objective: `"confusion"` or `"minimax"`, what the model minimises. Defaults to
            `"confusion"`.

    Call arguments and returns: see `Alignment`.

    Example:

    >>> alignment = AdversarialAlignment()
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    """

    default_weight = 0.1

    def __init__(
        self, hidden_dim=16, learning_speed=30.0, objective="confusion", **kwargs
    ):
        super().__init__(**kwargs)
        checks.choice("objective", objective, OBJECTIVES)
        self.hidden_dim = hidden_dim
        self.learning_speed = learning_speed
        self.objective = objective
        self.discriminator = Adversary(
            Discriminator(hidden_dim, learning_speed, name="discriminator"),
            name="adversary",
        )

    def build(self, query_shape, key_shape=None):
        self.discriminator.build((None, query_shape[-1]))

    def call(self, query, key, query_mask=None, key_mask=None):
        clouds = standardize(query, key, query_mask, key_mask)
        if self.objective == "minimax":
            return self._adversarial(clouds, query_mask, key_mask)
        constant = [ops.stop_gradient(cloud) for cloud in clouds]
        value = self._adversarial(constant, query_mask, key_mask)
        logits = map(self.discriminator.with_constant_weights, clouds)
        confusion = divergences.confusion(*logits, query_mask, key_mask)
        return value + (confusion - ops.stop_gradient(confusion))

    def _adversarial(self, clouds, query_mask, key_mask):
        logits = map(self.discriminator, clouds)
        return divergences.adversarial(*logits, query_mask, key_mask)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "learning_speed": self.learning_speed,
            "objective": self.objective,
        }
