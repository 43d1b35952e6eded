"""A folder that is replaced as a whole."""

import contextlib
import pathlib
import tempfile


@contextlib.contextmanager
def replacing(path):
    """Yields where to write a new folder, which then takes the place of `path`.

    After an error the old one is there as before. In between, its name is gone for a
    moment: there is no other way with folders.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".incomplete-") as folder:
        new, old = pathlib.Path(folder, "new"), pathlib.Path(folder, "old")
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
