"""AA-OT: entropic optimal transport."""

from keras_align import divergences
from keras_align.alignments.alignment import Alignment, register_alignment


@register_alignment("ot")
class OptimalTransportAlignment(Alignment):
    """Optimal transport alignment, AA-OT."""

    def __init__(
        self, cost="cosine", epsilon=0.01, max_iterations=50, tolerance=0.05, **kwargs
    ):
        super().__init__(**kwargs)
        self.cost = cost
        self.epsilon = epsilon
        self.max_iterations = max_iterations
        self.tolerance = tolerance

    def call(self, query, key, query_mask=None, key_mask=None):
        return divergences.optimal_transport(
            query,
            key,
            query_mask,
            key_mask,
            cost=self.cost,
            epsilon=self.epsilon,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "cost": self.cost,
            "epsilon": self.epsilon,
            "max_iterations": self.max_iterations,
            "tolerance": self.tolerance,
        }
