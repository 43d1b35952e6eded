"""Short names of layers."""

from collections.abc import Iterable


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
