"""Which layers are drawn."""

import numbers
from collections.abc import Iterable, Sequence

from keras_align.diagnostics.layer_names import short_names


def select_layers(
    layers: Sequence[str | int] | None, paths: Iterable[str]
) -> list[str]:
    """Returns the paths that are asked for, by path, by short name or by position."""
    paths = list(paths)
    if layers is None:
        return paths
    names = short_names(paths)
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        layers = [layers]
    chosen = [_find(layer, paths, names) for layer in layers]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            "Argument `layers` must hold at least one layer, and none twice. "
            f"Received: layers={layers}"
        )
    return chosen


def _find(layer, paths, names):
    is_integer = isinstance(layer, numbers.Integral) and not isinstance(layer, bool)
    if is_integer and 0 <= layer < len(paths):
        return paths[layer]
    for path in paths:
        if not is_integer and layer in (path, names[path]):
            return path
    raise ValueError(
        f"Argument `layers` must hold paths out of {paths}, their names as drawn, or "
        f"positions from 0 to {len(paths) - 1}. Received: {layer!r} in layers"
    )
