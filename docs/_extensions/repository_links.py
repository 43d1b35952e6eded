"""Texts of the repository as pages, and the links to them.

Links name files as they lie in the repository, so that they work there as well. Those
to a text that is a page lead to the page; other files are handed out with the site, as
MyST does with any file that exists.
"""

import os
import pathlib
import re

DOCS = pathlib.Path(__file__).parents[1]

# Page -> the text that it shows.
COPIES = {"benchmarks": "benchmarks/RESULTS.md", "changelog": "CHANGELOG.md"}
TARGET = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def read(app, docname, source):
    folder = pathlib.Path(docname).parent
    if docname in COPIES:
        path = DOCS.parent / COPIES[docname]
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
        folder = pathlib.Path("..", COPIES[docname]).parent
    if not os.fspath(app.env.doc2path(docname)).endswith(".rst"):
        source[0] = TARGET.sub(lambda link: moved(link, docname, folder), source[0])


def moved(link, docname, folder):
    """A link of a text in `folder`, seen from the page that shows it."""
    target = os.path.normpath(folder / link[1])
    for page, path in COPIES.items():
        if target == os.path.join("..", path):
            target = f"{page}.md"
    here = os.path.dirname(docname) or "."
    return f"]({os.path.relpath(target, here)}{link[2] or ''})"


def setup(app):
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
