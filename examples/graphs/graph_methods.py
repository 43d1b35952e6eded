"""Soft attention and the alignments, as they are compared on graphs."""

import dataclasses

import keras_align

BANDWIDTH = 0.1  # in which all are measured: that of "mmd" in graph attention


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train a graph attention network.

    Args:
        title: String.
        alignment: String, argument of `align_model`, or `None` for soft attention.
        weight: Float, the weight of the alignment, or `None` for soft attention.
        options: String, the settings of the alignment.
    """

    title: str
    alignment: str | None = None
    weight: float | None = None
    options: str = ""

    def weighted(self, weight):
        """Returns the method with another weight."""
        return dataclasses.replace(self, weight=weight)


def aligned(title, name):
    """Returns the `Method` of a named alignment, as graph attention has it."""
    layer = keras_align.AlignedGraphAttention(1, alignment=name)
    config = layer.alignment.get_config()
    options = sorted(config.keys() - {"name", "trainable", "dtype"})
    text = " ".join(f"{option}={config[option]}" for option in options)
    return Method(title, name, layer.alignment_weight, text)


METHODS = {
    "soft": Method("soft attention"),
    "gan": aligned("AA-GAN", "gan"),
    "ct": aligned("AA-CT", "ct"),
    "ot": aligned("AA-OT", "ot"),
    "mmd": aligned("AA-MMD", "mmd"),
}
