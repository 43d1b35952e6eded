"""Soft attention and the alignments, as they are compared on graphs."""

from compared_methods import Method, described

import keras_align

BANDWIDTH = 0.1  # in which all are measured: that of "mmd" in graph attention


def aligned(title, name):
    """Returns the `Method` of a named alignment, as graph attention has it."""
    layer = keras_align.AlignedGraphAttention(1, alignment=name)
    return Method(title, name, layer.alignment_weight, described(layer.alignment))


METHODS = {
    "soft": Method("soft attention"),
    "gan": aligned("AA-GAN", "gan"),
    "ct": aligned("AA-CT", "ct"),
    "ot": aligned("AA-OT", "ot"),
    "mmd": aligned("AA-MMD", "mmd"),
}
