"""AA-CT: bidirectional conditional transport."""

from keras_align import divergences, numerics
from keras_align.adversary import Adversary
from keras_align.alignments.alignment import Alignment, register_alignment, standardize
from keras_align.networks import Critic, Navigator


@register_alignment("ct")
class ConditionalTransportAlignment(Alignment):
    """Conditional transport alignment, AA-CT."""

    standardized = True

    def __init__(self, hidden_dim=16, feature_dim=16, rho=0.5, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.feature_dim = feature_dim
        self.rho = rho
        self.critic = Adversary(
            Critic(hidden_dim, feature_dim, name="critic"), name="adversary"
        )
        self.navigator = Navigator(hidden_dim, feature_dim, name="navigator")

    def build(self, query_shape, key_shape=None):
        self.critic.build((None, query_shape[-1]))
        self.navigator.build((None, query_shape[-1]))

    def call(self, query, key, query_mask=None, key_mask=None):
        query, key = numerics.to_float32(query, key)
        if self.standardized:
            query, key = standardize(
                query,
                key,
                numerics.token_weights(query_mask, query),
                numerics.token_weights(key_mask, key),
            )
        return divergences.conditional_transport(
            self.critic(query),
            self.critic(key),
            self.navigator(query),
            self.navigator(key),
            query_mask,
            key_mask,
            self.rho,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "feature_dim": self.feature_dim,
            "rho": self.rho,
        }
