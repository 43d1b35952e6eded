"""A page from its sections, and its file."""

import os
import pathlib
import tempfile
from collections.abc import Iterable

from keras_align.reports.elements import BEGINNING, Element, element, written
from keras_align.reports.style import STYLE


def page(
    heading: str,
    summary: Iterable[Element],
    content: Iterable[tuple[str, Iterable[Element]]],
) -> str:
    """Returns a page as text.

    Args:
        heading: string.
        summary: elements.
        content: pairs of the heading of a section and its elements.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width"),
        element("title", heading),
        element("style", STYLE),
    )
    sections = [
        element("section", element("h2", name), *elements) for name, elements in content
    ]
    first = element("h1", heading), element("div", *summary, class_="summary")
    body = element("body", element("main", *first, *sections))
    return written(element("html", head, body, lang="en"))


def writable(path: str | os.PathLike) -> pathlib.Path:
    """Returns the path of a page that can be written, or raises."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(
            f"Argument `path` must be a string or a path. Received: path={path!r}"
        )
    file = pathlib.Path(path)
    if file.is_dir() or not file.parent.is_dir():
        raise ValueError(
            "Argument `path` must be a file in a folder that is there. "
            f"Received: path={str(path)!r}"
        )
    if file.exists() and not file.read_bytes().startswith(BEGINNING.encode()):
        raise ValueError(
            "Argument `path` must be a new file, or a page to replace. "
            f"Received: path={str(path)!r}, another file"
        )
    try:
        with tempfile.TemporaryFile(dir=file.parent):
            return file
    except OSError as error:
        raise OSError(error.errno, "the page cannot be written", str(path)) from error


def write(text: str, path: pathlib.Path) -> None:
    """Writes a file as a whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())  # as `open` makes files
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
