"""AA-CT: bidirectional conditional transport."""

from keras_align import divergences
from keras_align.alignments.adversary import Adversary
from keras_align.alignments.alignment import (
    Alignment,
    register_alignment,
    standardize,
)
from keras_align.alignments.networks import Critic, Navigator
from keras_align.validation import checks


@register_alignment("ct")
class ConditionalTransportAlignment(Alignment):
    """Conditional transport alignment, AA-CT, the paper's best.

    The critic defines the transport cost and maximises it, through a gradient reversal;
    the navigator defines who is transported to whom and minimises it together with the
    rest of the model. Both see queries and keys standardised together, so that nothing
    is won by moving or stretching both clouds. Formula:
    `divergences.conditional_transport`.

    The paper's released code differs: it reverses the navigator's gradient too,
    normalises the navigator's features, and transports across the heads of a token.

    Args:
        hidden_dim: int, width of the hidden layer of critic and navigator. Defaults to
            `16`.
        feature_dim: int, width of the navigator's features. Defaults to `16`.
        rho: float in [0, 1], weight of the direction from queries to keys. Defaults to
            `0.5`.
        critic_learning_speed: float > 0, how much faster than the model the critic
            learns, see `equalized_dense.EqualizedDense`. Defaults to `0.3`.
        navigator_learning_speed: float > 0, the same for the navigator. Ten times the
            critic's by default, `3.0`: the plan must follow the cost.

    Call arguments and returns: see `Alignment`.

    Example:

    >>> alignment = ConditionalTransportAlignment(feature_dim=8)
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    """

    default_weight = 0.02

    def __init__(
        self,
        hidden_dim=16,
        feature_dim=16,
        rho=0.5,
        critic_learning_speed=0.3,
        navigator_learning_speed=3.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.fraction("rho", rho)
        checks.positive("critic_learning_speed", critic_learning_speed)
        checks.positive("navigator_learning_speed", navigator_learning_speed)
        self.hidden_dim = hidden_dim
        self.feature_dim = feature_dim
        self.rho = rho
        self.critic_learning_speed = critic_learning_speed
        self.navigator_learning_speed = navigator_learning_speed
        critic = Critic(hidden_dim, critic_learning_speed, name="critic")
        self.critic = Adversary(critic, name="adversary")
        self.navigator = Navigator(
            hidden_dim, feature_dim, navigator_learning_speed, name="navigator"
        )

    def build(self, query_shape, key_shape=None):
        self.critic.build((None, query_shape[-1]))
        self.navigator.build((None, query_shape[-1]))

    def call(self, query, key, query_mask=None, key_mask=None):
        query, key = standardize(query, key, query_mask, key_mask)
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
            "critic_learning_speed": self.critic_learning_speed,
            "navigator_learning_speed": self.navigator_learning_speed,
        }
