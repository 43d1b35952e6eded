"""AA-GAN: a discriminator tells queries from keys."""

from keras_align import checks, divergences
from keras_align.adversary import Adversary
from keras_align.alignments.alignment import (
    Alignment,
    register_alignment,
    standardize,
)
from keras_align.networks import Discriminator


@register_alignment("gan")
class AdversarialAlignment(Alignment):
    """Adversarial alignment, AA-GAN: `E_q[log D(q)] + E_k[log(1 - D(k))]`.

    The discriminator maximises it, through a gradient reversal, while the rest of the
    model minimises it. It sees queries and keys standardised together, so that nothing
    is won by moving or stretching both clouds. The objective has no lower bound for the
    model: a discriminator that learns too slowly is fooled by clouds that move on past
    each other, hence its own learning speed and the smallest default weight.

    Args:
        hidden_dim: int, width of the discriminator's hidden layer. Defaults to `16`.
        learning_speed: float > 0, how much faster than the model the discriminator
            learns under Adam, see `networks.EqualizedDense`. Defaults to `30.0`.

    Call arguments and returns: see `Alignment`.

    Example:

    >>> alignment = AdversarialAlignment()
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    """

    default_weight = 0.003

    def __init__(self, hidden_dim=16, learning_speed=30.0, **kwargs):
        super().__init__(**kwargs)
        checks.positive("learning_speed", learning_speed)
        self.hidden_dim = hidden_dim
        self.learning_speed = learning_speed
        self.discriminator = Adversary(
            Discriminator(hidden_dim, learning_speed, name="discriminator"),
            name="adversary",
        )

    def build(self, query_shape, key_shape=None):
        self.discriminator.build((None, query_shape[-1]))

    def call(self, query, key, query_mask=None, key_mask=None):
        query, key = standardize(query, key, query_mask, key_mask)
        return divergences.adversarial(
            self.discriminator(query), self.discriminator(key), query_mask, key_mask
        )

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "learning_speed": self.learning_speed,
        }
