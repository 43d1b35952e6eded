"""The site builds without a warning; links, anchors and public names are there."""

import collections
import html.parser
import os
import pathlib
import subprocess
import sys
import types
import urllib.parse

import pytest

import keras_align

pytestmark = pytest.mark.backends("tensorflow")

ROOT = pathlib.Path(__file__).parents[2]


class Page(html.parser.HTMLParser):
    """What a page of the site defines, refers to and loads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.update(given[key] for key in ("id", "name") if given.get(key))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("script", "img", "link", "iframe", "source"):
            self.loaded += [given[key] for key in ("src", "href") if given.get(key)]


def public_names():
    """The anchors of all names in `keras_align` and in its public modules."""
    for name in keras_align.__all__:
        value, path = getattr(keras_align, name), f"keras_align.{name}"
        if isinstance(value, types.ModuleType):
            yield f"module-{path}"
            yield from (
                f"{path}.{each}" for each in value.__all__ if not at_top(value, each)
            )
        else:
            yield path


def at_top(module, name):
    """Whether a name is documented as one of `keras_align` itself."""
    return getattr(module, name) is getattr(keras_align, name, None)


def build(folder):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    return subprocess.run(
        [*command, "-d", str(folder / "doctrees"), "docs", str(folder / "html")],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )


def broken(pages, root):
    """Links within the site that lead nowhere."""
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve()
            target = target if parts.path else path
            anchor = urllib.parse.unquote(parts.fragment)
            anchors = pages[target].anchors if target in pages else {anchor}
            if not (root / target).exists() or (anchor and anchor not in anchors):
                yield path.name, link


def reached(pages, start):
    """The pages that links lead to from the first one."""
    seen, left = {start}, collections.deque([start])
    while left:
        path = left.popleft()
        for link in pages[path].links:
            target = (path.parent / link.partition("#")[0]).resolve()
            if target in pages and target not in seen:
                seen.add(target)
                left.append(target)
    return seen


def test_site(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    root = (tmp_path / "html").resolve()
    pages = {path: Page(path) for path in root.rglob("*.html")}
    assert list(broken(pages, root)) == []
    left = set(pages) - reached(pages, root / "index.html")
    assert {path.name for path in left} <= {"search.html"}  # reached by its form
    outside = {link for page in pages.values() for link in page.loaded if "//" in link}
    assert outside == set()  # nothing is read from the network
    anchors = set().union(*(page.anchors for page in pages.values()))
    assert [name for name in public_names() if name not in anchors] == []
