"""A folder whose contents are replaced as a whole."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path, last: str) -> Iterator[pathlib.Path]:
    """Yields where to write a new folder, whose contents then become those of `path`.

    A folder that exists is never renamed: it may be the working folder of the process
    or a mount point. After an error its former contents are there as before.

    Args:
        path: folder, which is new, empty or to be replaced.
        last: name of the file without which the contents are not valid. It is removed
            first and written last, so that old and new are never mixed.

    Raises:
        ValueError: if nothing can be written there.
    """
    exists = path.exists()
    with contextlib.ExitStack() as stack:
        try:
            place = path if exists else path.parent
            place.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(dir=place, prefix=".incomplete-")
            )
        except OSError as error:
            raise ValueError(
                "Argument `path` must name a folder that can be written. Received: "
                f"path='{path}', which raises {type(error).__name__}: {error}"
            ) from error
        new = pathlib.Path(folder, "new")
        yield new
        if exists:
            _replace_contents(path, pathlib.Path(folder), last)
        else:
            new.rename(path)


def _replace_contents(path, folder, last):
    """Moves `path/*` to `folder/old`, then `folder/new/*` to `path`."""
    new, old = folder / "new", folder / "old"
    old.mkdir()
    former = [each.name for each in path.iterdir() if each.name != folder.name]
    former.sort(key=lambda name: name != last)
    made = sorted((each.name for each in new.iterdir()), key=lambda name: name == last)
    moves = [(path / name, old / name) for name in former]
    moves += [(new / name, path / name) for name in made]
    try:
        for source, target in moves:
            source.rename(target)
    except BaseException:
        for source, target in reversed(moves):
            if target.exists() and not source.exists():
                target.rename(source)
        raise
