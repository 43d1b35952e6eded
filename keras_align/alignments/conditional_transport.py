"""AA-CT: bidirectional conditional transport."""

from typing import Any

from keras_align import divergences
from keras_align.alignments.adversary import Adversary
from keras_align.alignments.alignment import register_alignment
from keras_align.alignments.built_in import BuiltInAlignment
from keras_align.alignments.networks import Critic, Navigator
from keras_align.alignments.standardizing import standardize
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks


@register_alignment("ct")
class ConditionalTransportAlignment(BuiltInAlignment):
    """Conditional transport alignment, AA-CT, the paper's best.

    The critic defines the transport cost and maximises it, through a gradient reversal;
    the navigator defines who is transported to whom and minimises it together with the
    rest of the model. Both see queries and keys standardised together, so that moving
    or scaling both changes nothing. Formula: `divergences.conditional_transport`.

    The paper's released code differs: it reverses the navigator's gradient too,
    normalises the navigator's features, and transports across the heads of a token.

    Args:
        hidden_dim: int, width of the hidden layer of critic and navigator. Defaults to
            `16`.
        feature_dim: int, width of the navigator's features. Defaults to `16`.
        rho: float in [0, 1], weight of the direction from queries to keys. Defaults to
            `0.5`.
        critic_learning_rate_multiplier: float > 0, how much faster than the model the
            critic learns, see `scaled_rate_dense.ScaledRateDense`. Defaults to `0.3`.
        navigator_learning_rate_multiplier: float > 0, the same for the navigator. Ten
            times the critic's by default, `3.0`: the plan must follow the cost.
        max_tokens: int > 1, or `None` for all tokens, see `Alignment`. Defaults to
            `64`; `None` for a config of a preview of 0.1.0, which had no such argument.
        projections_only: bool or `None`, whether the loss trains the projections of
            queries and keys alone, see `Alignment`. Defaults to `None`, which is `True`
            in layers of Keras and keras-hub. With `False`, as in the paper's released
            code, the gradient reaches all layers below, and can keep a model from
            learning a hard task.

    Call arguments and returns: see `Alignment`.

    Example:

    >>> alignment = ConditionalTransportAlignment(feature_dim=8)
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    """

    default_weight = 0.02
    default_projections_only = True

    def __init__(
        self,
        hidden_dim: int = 16,
        feature_dim: int = 16,
        rho: float = 0.5,
        critic_learning_rate_multiplier: float = 0.3,
        navigator_learning_rate_multiplier: float = 3.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        checks.fraction("rho", rho)
        of_critic = critic_learning_rate_multiplier
        of_navigator = navigator_learning_rate_multiplier
        checks.positive("critic_learning_rate_multiplier", of_critic)
        checks.positive("navigator_learning_rate_multiplier", of_navigator)
        self.hidden_dim = hidden_dim
        self.feature_dim = feature_dim
        self.rho = rho
        self.critic_learning_rate_multiplier = of_critic
        self.navigator_learning_rate_multiplier = of_navigator
        critic = Critic(hidden_dim, of_critic, name="critic")
        self.critic = Adversary(critic, name="adversary")
        self.navigator = Navigator(
            hidden_dim, feature_dim, of_navigator, name="navigator"
        )

    def build(self, query_shape: tuple, key_shape: tuple | None = None) -> None:
        self.critic.build((None, query_shape[-1]))
        self.navigator.build((None, query_shape[-1]))

    def call(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
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

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "feature_dim": self.feature_dim,
            "rho": self.rho,
            "critic_learning_rate_multiplier": self.critic_learning_rate_multiplier,
            "navigator_learning_rate_multiplier": (
                self.navigator_learning_rate_multiplier
            ),
        }
