"""What `match_moments` did to a model, and how it is undone."""

from dataclasses import astuple, dataclass, field
from types import TracebackType

from keras_align.diagnostics.reporting import format_table
from keras_align.matching.change import Change
from keras_align.moments import forget_matches

_TITLES = "layer", "class", "matched", "note"


@dataclass(frozen=True)
class LayerMatch:
    """One attention layer of a model.

    Attributes:
        path: string, the names from below the model to the layer, joined by "/".
        class_name: string, the layer's class.
        matched: string, which moments of queries and keys were made equal.
        note: string, why not more.
    """

    path: str
    class_name: str
    matched: str
    note: str


@dataclass(frozen=True)
class MatchedMoments:
    """Result of `match_moments`; prints as a table.

    As a context manager it restores the weights at the end of the `with` block.

    Attributes:
        rows: tuple of `LayerMatch`.
        changes: list of what was changed, one for each matched layer.
        owner: what the notes in `alignment_report` belong to.
    """

    rows: tuple[LayerMatch, ...]
    changes: list[Change] = field(repr=False, compare=False)
    owner: object = field(default_factory=object, repr=False, compare=False)

    def restore(self) -> None:
        """Gives keys and queries their former coordinates back, once.

        Weights that are as they were left get their former values, bit for bit. Weights
        that were trained or matched again since are mapped back by the inverse, which
        keeps what the model predicts: restore the latest match first.

        Raises:
            ValueError: if projections were quantized or given LoRA weights since. The
                model is then unchanged.
        """
        for each in self.changes:
            each.check()
        while self.changes:
            self.changes.pop().undo()
        forget_matches(self.owner)

    def __enter__(self) -> "MatchedMoments":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def __str__(self) -> str:
        lines = format_table(_TITLES, [astuple(row) for row in self.rows])
        count = f"{len(self.changes)} of {len(self.rows)} layers matched"
        matched = any(row.matched for row in self.rows)
        undone = ", all restored" if matched and not self.changes else ""
        return "\n".join([*lines, count + undone])

    __repr__ = __str__
