"""Soft attention and the alignments, as they are compared on graphs."""

import dataclasses

import keras_align


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train a graph attention network.

    Args:
        title: String.
        alignment: `keras_align.Alignment`, or `None` for soft attention.
        weight: Float, the weight of the alignment, or `None` for its default.
    """

    title: str
    alignment: object = None
    weight: float | None = None

    @property
    def options(self):
        """The settings of the alignment, as a text."""
        config = self.alignment.get_config() if self.alignment else {}
        other = {"name", "trainable", "dtype"}
        names = sorted(config.keys() - other)
        return " ".join(f"{name}={config[name]}" for name in names)

    def weighted(self, weight):
        """Returns the method with another weight."""
        return dataclasses.replace(self, weight=weight)


# Queries and keys have a size of 0.01 to 1, where the kernel must be narrower than that
# of transformers.
BANDWIDTH = 0.1
# A graph attention network is trained from scratch at a rate of 0.005, where those that
# learn against the model must not be faster than it.
METHODS = {
    "soft": Method("soft attention"),
    "gan": Method(
        "AA-GAN", keras_align.AdversarialAlignment(learning_rate_multiplier=1.0), 0.01
    ),
    "ct": Method(
        "AA-CT",
        keras_align.ConditionalTransportAlignment(
            critic_learning_rate_multiplier=0.06, navigator_learning_rate_multiplier=0.6
        ),
        0.01,
    ),
    "ot": Method("AA-OT", keras_align.OptimalTransportAlignment(), 0.003),
    "mmd": Method(
        "AA-MMD", keras_align.MaximumMeanDiscrepancyAlignment(bandwidth=BANDWIDTH), 0.01
    ),
}
