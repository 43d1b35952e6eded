"""Finds private names that source files use and do not define."""

import ast
import functools
import pathlib
import re
from collections.abc import Iterator

PRIVATE = re.compile(r"_[a-z]\w*")
KERAS_SOURCE = re.compile(r"(keras|keras_hub|keras_nlp)\.src\b")
DOCUMENTED = {"_asdict", "_exit"}  # of named tuples and of `os`


def defined_in(files: list[pathlib.Path]) -> set[str]:
    """Names that files define as functions, classes, variables, attributes or keys."""
    names = set()
    for node in _nodes(files):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(ast.Name("self" | "cls"), name, ast.Store()):
                names.add(name)
            case ast.Subscript(_, ast.Constant(str(name)), ast.Store()):
                names.add(name)
    return names


def used_in(file: pathlib.Path, own: set[str], keras: set[str]) -> Iterator[str]:
    """Private names of others that a file uses, as often as it does.

    Args:
        file: path of the source.
        own: names that the package defines itself.
        keras: names that are Keras's even where the package defines them, too.
    """
    for node in _nodes([file]):
        yield from _imported(node)
        for name in _named(node):
            foreign = PRIVATE.fullmatch(name) and name not in own | DOCUMENTED
            if foreign or name in keras:
                yield name


def _imported(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module=str(module)) if KERAS_SOURCE.match(module):
            yield from (alias.name for alias in node.names)
        case ast.Import():
            yield from (x.name for x in node.names if KERAS_SOURCE.match(x.name))


def _named(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(attr=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Constant(str(name)):
            yield name


def _nodes(files: list[pathlib.Path]) -> Iterator[ast.AST]:
    for file in files:
        yield from _tree(file)


@functools.cache
def _tree(file: pathlib.Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
