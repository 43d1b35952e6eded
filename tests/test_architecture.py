"""The house: one way through it, nothing optional at its door, nothing undocumented."""

import ast
import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_align

ROOT = pathlib.Path(keras_align.__file__).parent
REPOSITORY = pathlib.Path(__file__).parents[1]
# From the ground up; a module imports from its own floor or from below.
FLOORS = (
    {"validation", "keras_internals"},
    {"divergences"},
    {"alignments"},
    {"adapters"},
    {"layers"},
    {"conversion"},
    {"callbacks", "diagnostics", "exporting", "metrics", "training", "visualization"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = [
    info.name for info in pkgutil.walk_packages(keras_align.__path__, "keras_align.")
]


def imports_of(file):
    """Names of the top parts of keras_align that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "keras_align":
                names = [alias.name for alias in node.names]
                yield from parts[1:2] or [name for name in names if name in FLOOR]


def test_every_part_has_a_floor():
    parts = {name.split(".")[1] for name in MODULES}
    assert parts == set(FLOOR)


def test_imports_go_one_way():
    for file in ROOT.rglob("*.py"):
        part = file.relative_to(ROOT).with_suffix("").parts[0]
        if part == "__init__":
            continue
        for imported in imports_of(file):
            assert FLOOR[imported] <= FLOOR[part], f"{file.name} imports {imported}"


def test_formulas_use_keras_ops_alone():
    files = [*(ROOT / "divergences").glob("*.py"), ROOT / "alignments" / "networks.py"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"import (tensorflow|jax|torch|numpy)", text)


def test_import_needs_no_optional_package():
    """Optional packages that Keras itself imports where it finds them do not count."""
    optional = {"keras_nlp", "keras_hub", "matplotlib", "sklearn", "ot", "torch"}
    code = (
        "import sys, keras; before = set(sys.modules); import keras_align\n"
        f"print(sorted({optional} & (set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", keras_align.__all__)
def test_public_names_are_documented(name):
    value = getattr(keras_align, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        doc = inspect.getdoc(value)
        missing = [p for p in inspect.signature(value).parameters if p not in doc]
        assert not missing


@pytest.mark.parametrize("name", ["keras_align", *MODULES])
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = {**vars(keras_align), "keras_align": keras_align, "keras": keras, "np": np}
    finder = doctest.DocTestFinder(exclude_empty=True)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for test in finder.find(module, extraglobs=names):
        outcome = doctest.DocTestRunner(optionflags=flags).run(test)
        assert outcome.failed == 0, test.name


def test_files_that_the_readme_names_exist():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"(?:examples|benchmarks|tests)/[\w/]+\.(?:py|md)", text)
    assert files
    assert not [file for file in files if not (REPOSITORY / file).exists()]


def test_names_that_the_readme_uses_exist():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"keras_align\.(\w+)[(.]", text):
        assert hasattr(keras_align, name), name
