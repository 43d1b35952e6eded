"""AA-OT: entropic optimal transport."""

from typing import Any

from keras import ops

from keras_align import divergences
from keras_align.alignments.alignment import register_alignment
from keras_align.alignments.built_in import BuiltInAlignment
from keras_align.divergences.numerics import Tensor
from keras_align.keras_internals import UnsavedState
from keras_align.validation import checks


@register_alignment("ot")
class OptimalTransportAlignment(BuiltInAlignment):
    """Optimal transport alignment, AA-OT. Formula: `divergences.optimal_transport`.

    The paper leaves the cost open; its released code takes half the squared Euclidean
    distance, on which `epsilon=0.01` does not converge in a sensible number of steps.
    The cosine cost, in [0, 2], has the scale for it.

    Args:
        cost: `"cosine"` or `"sqeuclidean"`. Defaults to `"cosine"`.
        epsilon: float > 0, weight of the entropy. Defaults to `0.01`.
        max_iterations: int > 0, bound on the Sinkhorn iterations. Defaults to `30`.
        tolerance: float > 0, L1 error of the marginals at which they stop; training
            needs no more than the default, `0.05`.
        max_tokens: int > 1, or `None` for all tokens, see `Alignment`. Defaults to
            `64`; `None` for a config of a preview of 0.1.0, which had no such argument.
        projections_only: bool or `None`, whether the loss trains the projections of
            queries and keys alone, see `Alignment`. Defaults to `None`, which is `True`
            in layers of Keras and keras-hub. With `False` the gradient reaches all
            layers below, and can keep a model from learning a hard task.

    Call arguments and returns: see `Alignment`.

    Attributes:
        convergence: `divergences.Convergence` of the last call, or `None`.

    Example:

    >>> alignment = OptimalTransportAlignment(epsilon=0.05)
    >>> x = keras.random.normal((2, 5, 4, 8))
    >>> tuple(alignment(x, x).shape)
    (2, 4)
    >>> alignment.convergence.converged  # of 8 samples and heads
    1.0
    """

    default_weight = 0.003
    default_projections_only = True

    def __init__(
        self,
        cost: str = "cosine",
        epsilon: float = 0.01,
        max_iterations: int = 30,
        tolerance: float = 0.05,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        checks.choice("cost", cost, divergences.COSTS)
        checks.positive("epsilon", epsilon)
        checks.positive_integer("max_iterations", max_iterations)
        checks.positive("tolerance", tolerance)
        self.cost = cost
        self.epsilon = epsilon
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        self._convergence_sums = UnsavedState([0.0] * 5, "convergence", summed=True)

    @property
    def convergence(self) -> divergences.Convergence | None:
        """Convergence of the iterations in the last call, as that of a training step.

        A `divergences.Convergence` of floats: the mean `marginal_error` of the samples
        and heads, the fraction of them that `converged`, and the mean `iterations` of
        the replicas; `None` before the first call.
        """
        error, converged, pairs, iterations, calls = map(
            float, ops.convert_to_numpy(self._convergence_sums.state)
        )
        if not pairs:
            return None
        return divergences.Convergence(
            error / pairs, converged / pairs, iterations / calls
        )

    def call(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        divergence, convergence = divergences.optimal_transport(
            query,
            key,
            query_mask,
            key_mask,
            cost=self.cost,
            epsilon=self.epsilon,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
            return_convergence=True,
        )
        self._keep(convergence)
        return divergence

    def _keep(self, convergence):
        """Keeps sums, which may be added up over replicas."""
        error, converged, iterations = convergence
        sums = (
            ops.sum(error),
            ops.sum(ops.cast(converged, "float32")),
            ops.size(error),
            iterations,
            1,
        )
        state = ops.stack([ops.cast(x, "float32") for x in sums])
        self._convergence_sums.state.assign(ops.stop_gradient(state))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "cost": self.cost,
            "epsilon": self.epsilon,
            "max_iterations": self.max_iterations,
            "tolerance": self.tolerance,
        }
