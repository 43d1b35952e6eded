"""Which changes of queries and keys leave the weights of an attention as they are."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Symmetry:
    """The exact symmetries of an attention class.

    Attributes:
        kind: string, `"full"` (`q A`, `k A^-T + c`), `"rotary"` (one scale for each
            pair of features `i` and `i + H / 2`), `"scale"` (one for a head) or
            `"none"`.
        reason: string, a clause that says what forbids more.
    """

    kind: str
    reason: str = ""


FULL = Symmetry("full")
ROTARY = Symmetry("rotary", "rotary positions allow one scale for a pair of features")
SCALE = Symmetry("scale", "rotary positions allow one scale for a head")
UNKNOWN = Symmetry(
    "none", "its symmetries are not known, see AttentionAdapter(symmetry=...)"
)
NORMALIZED = Symmetry("none", "queries and keys are normalised after the projections")
RELATIVE = Symmetry("none", "positions take part in the scores through queries or keys")
SCALED = Symmetry("none", "the features of queries are scaled after the projection")
JOINT = Symmetry("none", "queries and keys of two projections are attended to at once")
CONVOLUTIONS = Symmetry("none", "its projections are convolutions")


def get_symmetry(identifier: str | Symmetry | None) -> Symmetry:
    """The `Symmetry` that an argument `symmetry` describes."""
    named = {None: UNKNOWN, "full": FULL, "rotary": ROTARY, "scale": SCALE}
    if isinstance(identifier, Symmetry):
        return identifier
    if identifier not in named:
        raise ValueError(
            "Argument `symmetry` must be 'full', 'rotary', 'scale' or None. "
            f"Received: symmetry={identifier!r}"
        )
    return named[identifier]
