"""The methods that `finetune_bert.py` and `benchmarks/fine_tuning.py` compare."""

import dataclasses

import compared_methods

from keras_align.alignments import Alignment, get_alignment

MATCHED = "mean"  # soft training from there takes the same steps


@dataclasses.dataclass(frozen=True)
class Method:
    """How a classifier is fine-tuned.

    Args:
        name: String, its key in `METHODS`.
        alignment: String or `keras_align.Alignment`, as in `keras_align.align_model`,
            or `None` for soft attention.
        weight: Float, factor of the alignment loss, or `None` for the alignment's own.
        matched: `"mean"` or `"covariance"`, the moments of keys and queries that
            `keras_align.match_moments` makes equal before training, or `None`.
        label_smoothing: Float in [0, 1), as in
            `keras.losses.CategoricalCrossentropy`.
        trained: Bool, whether the classifier is trained at all.
    """

    name: str
    alignment: str | Alignment | None = None
    weight: float | None = None
    matched: str | None = None
    label_smoothing: float = 0.0
    trained: bool = True

    @property
    def title(self):
        """What the method is called in tables and pictures."""
        if self.alignment:
            return f"alignment ({self.name})"
        return TITLES.get(self.name, self.name)

    @property
    def alignment_weight(self):
        """The factor of the alignment loss as a float, 0 without an alignment."""
        if self.alignment is None:
            return 0.0
        own = get_alignment(self.alignment).default_weight
        return own if self.weight is None else self.weight

    @property
    def options(self):
        """What else the method depends on, defaults too, as a text."""
        own = {"matched": self.matched, "label_smoothing": self.label_smoothing}
        texts = [f"{name}={value}" for name, value in own.items() if value]
        if self.alignment is not None:
            texts.append(compared_methods.described(resolved(self.alignment)))
        return " ".join(texts)

    def with_weight(self, weight):
        """Returns the method with another factor of its alignment loss, if it has one.

        `None` changes nothing.
        """
        if weight is None or self.alignment is None:
            return self
        return dataclasses.replace(self, weight=weight)


TITLES = {
    "soft": "soft attention",
    "matched": "matched moments",
    "label_smoothing": "label smoothing",
    "untrained": "new head, untrained",
}
ALIGNMENTS = ("ct", "gan", "ot", "mmd")
REACH = {True: "projections", False: "all_layers"}  # of the gradient of the loss


def resolved(alignment):
    """Returns an alignment whose `projections_only` is no longer `None`."""
    alignment = get_alignment(alignment)
    if alignment.projections_only is not None:
        return alignment
    alone = alignment.default_projections_only
    config = alignment.get_config() | {"projections_only": alone}
    return type(alignment).from_config(config)


def of_other_reach(name):
    """The method of an alignment that trains all layers by default, or the reverse."""
    alignment = get_alignment(name)
    alone = not alignment.default_projections_only
    alignment = type(alignment)(projections_only=alone)
    return Method(f"{name}_{REACH[alone]}", alignment, matched=MATCHED)


OTHER_REACH = {method.name: method for method in map(of_other_reach, ALIGNMENTS)}
METHODS = {
    method.name: method
    for method in (
        Method("soft"),
        Method("matched", matched=MATCHED),
        Method("label_smoothing", label_smoothing=0.1),
        Method("untrained", trained=False),
        *(Method(name, alignment=name, matched=MATCHED) for name in ALIGNMENTS),
    )
} | OTHER_REACH
