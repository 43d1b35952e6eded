"""The Python of every page runs as it stands there (names_of_pages.py says how)."""

import pathlib
import re

import names_of_pages
import pytest

pytestmark = pytest.mark.backends("tensorflow")

ROOT = pathlib.Path(__file__).parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def pages():
    found = [
        path for path in (ROOT / "docs").rglob("*.md") if "_build" not in str(path)
    ]
    return sorted([*found, ROOT / "CONTRIBUTING.md", ROOT / "README.md"])


def blocks(path):
    """The blocks of a page, on the lines where they stand."""
    text = path.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        yield "\n" * text.count("\n", 0, fence.start(1)) + fence[1]


def shortened(name, code):
    """The block with what is replaced in it, and what was."""
    pairs = [pair for pair in names_of_pages.REPLACED.get(name, ()) if pair[0] in code]
    for old, new in pairs:
        code = code.replace(old, new)
    return code, pairs


WITH_PYTHON = {path.name: path for path in pages() if any(blocks(path))}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=names_of_pages.MARKS.get(name, ()))
        for name in WITH_PYTHON
    ],
)
def test_page(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make = names_of_pages.NAMES.get(name, lambda folder: {})
    names = {"__name__": "page", **make(tmp_path)}
    replaced = []
    for block in blocks(WITH_PYTHON[name]):
        code, pairs = shortened(name, block)
        replaced += pairs
        exec(compile(code, str(WITH_PYTHON[name]), "exec"), names)
    assert set(replaced) == set(names_of_pages.REPLACED.get(name, ()))


def test_every_entry_has_its_page():
    for table in (names_of_pages.NAMES, names_of_pages.REPLACED, names_of_pages.MARKS):
        assert set(table) <= set(WITH_PYTHON)
