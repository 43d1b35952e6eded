"""Finds private names that source files use and do not define."""

import ast
import pathlib
import re
from collections.abc import Iterator

PRIVATE = re.compile(r"_[a-z]\w*")
KERAS_SOURCE = re.compile(r"(keras|keras_hub|keras_nlp)\.src\b")
OWN = {"self", "cls"}
OTHER_LIBRARIES = {"os"}  # `os._exit` is documented


def defined_in(files: list[pathlib.Path]) -> set[str]:
    """Private names that files define as methods, attributes or keys."""
    names = set()
    for node in _nodes(files):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in OWN:
                names.add(node.attr)
    return names


def used_in(file: pathlib.Path, own: set[str], keras: set[str]) -> Iterator[str]:
    """Private names of others that a file uses, as often as it does.

    Args:
        file: path of the source.
        own: names that the package defines itself.
        keras: names that are Keras's even where the package defines them, too.
    """
    others = keras | {"src"}
    for node in _nodes([file]):
        if isinstance(node, ast.ImportFrom) and KERAS_SOURCE.match(node.module or ""):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (x.name for x in node.names if KERAS_SOURCE.match(x.name))
        for name in _names(node):
            if name in others or (PRIVATE.fullmatch(name) and name not in own):
                yield name


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        value = node.value
        if not (isinstance(value, ast.Name) and value.id in OTHER_LIBRARIES):
            yield node.attr
    elif isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _nodes(files: list[pathlib.Path]) -> Iterator[ast.AST]:
    for file in files:
        yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))
