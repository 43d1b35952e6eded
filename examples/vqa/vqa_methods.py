"""Soft attention and the alignments, as they are compared on questions."""

from compared_methods import Method, described

import keras_align


def aligned(title, alignment, weight):
    """Returns the `Method` of an alignment."""
    return Method(title, alignment, weight, described(alignment))


# A network that is trained from scratch learns at a higher rate than one that is
# fine-tuned: the networks of the alignments need not be faster than it. The weights
# were chosen on held-out images of DAQUAR, see benchmarks/RESULTS.md, with losses that
# train all layers.
ALL = {"projections_only": False}
METHODS = {
    "soft": Method("soft attention"),
    "gan": aligned(
        "AA-GAN",
        keras_align.AdversarialAlignment(learning_rate_multiplier=1.0, **ALL),
        0.1,
    ),
    "ct": aligned("AA-CT", keras_align.ConditionalTransportAlignment(**ALL), 0.01),
    "ot": aligned("AA-OT", keras_align.OptimalTransportAlignment(**ALL), 0.001),
    "mmd": aligned("AA-MMD", keras_align.MaximumMeanDiscrepancyAlignment(), 0.1),
}
