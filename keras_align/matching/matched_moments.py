"""What `match_moments` did to a model, and how it is undone."""

from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from types import TracebackType

import numpy as np

from keras_align.adapters.projection_weights import ProjectionWeights
from keras_align.diagnostics.reporting import format_table
from keras_align.moments import MatchingMap

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
        undo: list of functions, one for each matched layer.
    """

    rows: tuple[LayerMatch, ...]
    undo: list[Callable[[], None]] = field(repr=False, compare=False)

    def restore(self) -> None:
        """Gives keys and queries their former coordinates back, once.

        Weights that are as they were left get their former values, bit for bit. Weights
        that were trained since are mapped back by the inverse, which again keeps what
        the model predicts.
        """
        while self.undo:
            self.undo.pop()()

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
        matched = sum(row.matched != "" for row in self.rows)
        lines = format_table(_TITLES, [astuple(row) for row in self.rows])
        return "\n".join([*lines, f"{matched} of {len(self.rows)} layers matched"])


def change(
    query: ProjectionWeights, key: ProjectionWeights, of_heads: MatchingMap
) -> Callable[[], None]:
    """Puts a `MatchingMap` into the weights of a layer; returns what undoes it."""
    before = [(v, np.copy(v)) for v in (*query.variables, *key.variables)]
    _apply(query, key, of_heads)
    after = [np.copy(variable) for variable, _ in before]

    def undo():
        now = [np.copy(variable) for variable, _ in before]
        if all(map(np.array_equal, now, after)):
            for variable, value in before:
                variable.assign(value)
        else:
            _apply(query, key, of_heads.inverse())

    return undo


def _apply(query, key, of_heads):
    kernel, bias = query.read()
    group = kernel.shape[1] // len(of_heads.forward)
    forward = of_heads.repeated(group).forward
    if bias is not None:
        bias = np.einsum("nh,nhi->ni", bias, forward)
    query.write(np.einsum("dnh,nhi->dni", kernel, forward), bias)
    kernel, bias = key.read()
    if bias is not None:
        bias = of_heads.of_keys(bias)
    key.write(np.einsum("dkh,khi->dki", kernel, of_heads.backward), bias)
