"""Imports go one way, files and functions are short, public names are documented."""

import ast
import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re
import statistics
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_align

pytestmark = pytest.mark.backends("tensorflow")

ROOT = pathlib.Path(keras_align.__file__).parent
REPOSITORY = pathlib.Path(__file__).parents[1]
# From the lowest; a folder imports from itself and from lower levels alone.
LEVELS = (
    {"validation", "keras_internals"},
    {"divergences", "metrics", "moments"},
    {"alignments", "calibration", "graphs"},
    {"adapters", "training"},
    {"layers"},
    {"conversion", "models"},
    {"diagnostics", "exporting", "robustness"},
    {"callbacks", "matching", "reports", "visualization"},
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
MODULES = [
    info.name for info in pkgutil.walk_packages(keras_align.__path__, "keras_align.")
]
SOURCES = sorted(ROOT.rglob("*.py"))
# Folders of tests for what is no folder of the package.
OTHER_TESTS = {"docs", "examples", "support"}
# Tested through what calls them.
WITHOUT_TESTS = {"validation"}


def place(file):
    return file.relative_to(ROOT).as_posix()


def imports_of(file):
    """Names of the folders of keras_align that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        yield from (x[1] for x in parts if x[0] == "keras_align" and len(x) > 1)


def functions_of(file):
    """Names and lines, without docstring, of the functions of a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node):
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            yield node.name, lines


def test_every_folder_has_a_level():
    assert {name.split(".")[1] for name in MODULES} == set(LEVEL)


def test_imports_go_one_way():
    for file in SOURCES:
        folder = place(file).split("/")[0]
        if folder == "__init__.py":
            continue
        for imported in set(imports_of(file)) - {folder}:
            assert LEVEL[imported] < LEVEL[folder], f"{place(file)} imports {imported}"


def test_files_are_short():
    lines = {
        place(file): len(file.read_text(encoding="utf-8").splitlines())
        for file in SOURCES
    }
    assert not {name for name, count in lines.items() if count > 250}
    assert statistics.median(lines.values()) <= 150


def test_functions_are_short():
    lines = [each for file in SOURCES for each in functions_of(file)]
    assert not {name for name, count in lines if count > 40}
    assert statistics.median(count for _, count in lines) <= 10


def test_files_are_named_by_their_subject():
    folders = "keras_align", "examples", "benchmarks", "tests"
    for folder in folders:
        for file in (REPOSITORY / folder).rglob("*.py"):
            assert not re.search(r"util|helper|common", file.stem), file


def test_tests_mirror_the_package():
    files = (REPOSITORY / "tests").glob("*/**/*.py")
    tests = {file.relative_to(REPOSITORY / "tests").parts[0] for file in files}
    assert tests - OTHER_TESTS <= set(LEVEL)
    assert set(LEVEL) - WITHOUT_TESTS <= tests


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
