"""Docstrings in Keras's style for Sphinx, where napoleon knows only Google's."""

import inspect
import re

LINK = re.compile(r"(?<!`)\[([^\]`]+)\]\((https?://[^)\s]+)\)")
ENDING = re.compile(r"(?<!`)(`[^`]+`)(?=[a-z])")  # as in `fit`s
ARGUMENT = re.compile(r"^    [\w*]+: ")
SECTION = re.compile(r"^[A-Z][a-z ]+:$")


def convert(app, what, name, obj, options, lines):
    """What is Markdown in a docstring, as reStructuredText."""
    text = fenced_code(formulas(prose(lines)))
    lines[:] = [LINK.sub(r"`\1 <\2>`__", ENDING.sub(r"\1\\ ", line)) for line in text]
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]  # else napoleon takes what is before a colon for a type


def prose(lines):
    """Sentences under "Call arguments", where other docstrings list arguments."""
    inside = False
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line == "Call arguments:" and not ARGUMENT.match(after):
            inside = True
            yield from (".. rubric:: Call arguments", "")
            continue
        inside = inside and (line.startswith("    ") or not line)
        yield line.removeprefix("    ") if inside else line


def fenced_code(lines):
    inside = False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
            yield f".. code-block:: {line[3:]}" if inside else ""
            line = ""
        yield f"   {line}" if inside and line else line


def formulas(lines):
    """Indented lines in front of the sections as they are, not as quotations."""
    before = open_block = False
    in_text = True
    for line in lines:
        in_text = in_text and not SECTION.match(line)
        indented = line.startswith("    ")
        if in_text and indented and before and not open_block:
            yield from ("::", "")
        open_block = in_text and (indented or (open_block and not line))
        before = not line
        yield line


def signature(app, what, name, obj, options, given, returned):
    """A class's own arguments: Keras's layers have a `__new__` that takes any."""
    if what != "class" or not given:
        return None
    arguments = inspect.signature(obj).parameters.values()
    shown = [
        each.replace(annotation=each.empty, default=Default.of(each))
        for each in arguments
    ]
    return str(inspect.Signature(shown)), None


class Default(str):
    """A default as it is shown, short."""

    __repr__ = str.__str__

    @classmethod
    def of(cls, argument):
        text = repr(argument.default)
        no_default = argument.default is argument.empty
        return (
            argument.default if no_default else cls(text if len(text) < 40 else "...")
        )


def setup(app):
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", convert, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
