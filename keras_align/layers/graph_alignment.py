"""How graph attention is aligned where the user does not say otherwise."""

from typing import Any

from keras_align.alignments import (
    AdversarialAlignment,
    Alignment,
    ConditionalTransportAlignment,
    MaximumMeanDiscrepancyAlignment,
    OptimalTransportAlignment,
    get_alignment,
    serialize_alignment,
)

# Options and weight: of the weights 0.001 to 1, the largest whose accuracy on Cora's
# validation nodes was within a standard error of the best. A graph attention network is
# trained from scratch at a rate of 0.005, where networks of the alignment must not
# learn faster than it; its queries and keys have a size of 0.01 to 1, where the kernel
# must be narrower than that of transformers.
_DEFAULTS: dict[type[Alignment], tuple[dict[str, Any], float]] = {
    AdversarialAlignment: ({"learning_rate_multiplier": 1.0}, 0.1),
    ConditionalTransportAlignment: (
        {
            "critic_learning_rate_multiplier": 0.06,
            "navigator_learning_rate_multiplier": 0.6,
        },
        0.1,
    ),
    OptimalTransportAlignment: ({}, 0.1),
    MaximumMeanDiscrepancyAlignment: ({"bandwidth": 0.1}, 0.1),
}


def with_graph_defaults(alignment: Any, alignment_weight: Any) -> tuple[Any, Any]:
    """Arguments of `align_model` with the defaults of graph attention.

    Args:
        alignment: as in `AlignedGraphAttention`; a name gets the options of graphs.
        alignment_weight: as there; `None` becomes the weight of graphs, for a name and
            for an alignment of one of the named classes.

    Returns:
        The alignment, as a serialised config if it was a name, and the weight.
    """
    cls = type(get_alignment(alignment))
    if cls not in _DEFAULTS:
        return alignment, alignment_weight
    options, weight = _DEFAULTS[cls]
    if isinstance(alignment, str):
        alignment = serialize_alignment(cls(**options))
    return alignment, weight if alignment_weight is None else alignment_weight
