"""AA-GAN: a discriminator tells queries from keys."""

from keras_align import divergences, numerics
from keras_align.adversary import Adversary
from keras_align.alignments.alignment import Alignment, register_alignment, standardize
from keras_align.networks import Discriminator


@register_alignment("gan")
class AdversarialAlignment(Alignment):
    """Adversarial alignment, AA-GAN."""

    standardized = True

    def __init__(self, hidden_dim=16, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.discriminator = Adversary(
            Discriminator(hidden_dim, name="discriminator"), name="adversary"
        )

    def build(self, query_shape, key_shape=None):
        self.discriminator.build((None, query_shape[-1]))

    def call(self, query, key, query_mask=None, key_mask=None):
        query, key = numerics.to_float32(query, key)
        if self.standardized:
            query, key = standardize(
                query,
                key,
                numerics.token_weights(query_mask, query),
                numerics.token_weights(key_mask, key),
            )
        return divergences.adversarial(
            self.discriminator(query), self.discriminator(key), query_mask, key_mask
        )

    def get_config(self):
        return {**super().get_config(), "hidden_dim": self.hidden_dim}
