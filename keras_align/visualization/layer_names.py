"""Short names of layers, and which of them are drawn."""

import numbers
from collections.abc import Iterable, Sequence


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Returns a name for each path: its shortest ending that no other path has.

    What all paths end with says nothing and is left out:
    `"bert/layer_0/attention"` and `"bert/layer_1/attention"` are `"layer_0"` and
    `"layer_1"`.
    """
    paths = list(paths)
    parts = {path: path.split("/") for path in paths}
    while len(paths) > 1 and _end_alike(parts.values()):
        parts = {path: names[:-1] for path, names in parts.items()}
    return {path: _unique_ending(path, parts) for path in paths}


def _end_alike(parts):
    """Whether all end with the same name, and none is that name alone."""
    return len({names[-1] for names in parts}) == 1 and min(map(len, parts)) > 1


def _unique_ending(path, parts):
    others = [names for other, names in parts.items() if other != path]
    names = parts[path]
    for length in range(1, len(names) + 1):
        if all(other[-length:] != names[-length:] for other in others):
            return "/".join(names[-length:])
    return "/".join(names)


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
