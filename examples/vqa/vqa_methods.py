"""Soft attention and the alignments, as they are compared on questions."""

import dataclasses

import keras_align


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train a co-attention network.

    Args:
        title: String.
        alignment: `keras_align.Alignment` or `None` for soft attention.
        weight: Float, the weight of the alignment, or `None` for soft attention.
    """

    title: str
    alignment: object = None
    weight: float | None = None

    def weighted(self, weight):
        """Returns the method with another weight, if it has one."""
        if weight is None or self.alignment is None:
            return self
        return dataclasses.replace(self, weight=weight)


# A network that is trained from scratch learns at a higher rate than one that is
# fine-tuned: the networks of the alignments need not be faster than it.
METHODS = {
    "soft": Method("soft attention"),
    "gan": Method(
        "AA-GAN", keras_align.AdversarialAlignment(learning_rate_multiplier=1.0), 0.01
    ),
    "ct": Method("AA-CT", keras_align.ConditionalTransportAlignment(), 0.01),
    "ot": Method("AA-OT", keras_align.OptimalTransportAlignment(), 0.003),
    "mmd": Method("AA-MMD", keras_align.MaximumMeanDiscrepancyAlignment(), 0.01),
}
