"""Tables of a Markdown file, each between the marks of the script that made it."""

import argparse
import pathlib
import sys


def add_output(parser):
    """Adds the option of a Markdown file."""
    parser.add_argument("--output", type=_markdown, help="Markdown file of the table")


def _markdown(path):
    """The type of the option: a file that is there or can be made."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder, not a Markdown file")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder of {path} does not exist")
    return path


def table(lines):
    """Markdown of lines of cells, which are strings."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(text, file, script):
    """Writes a table between the marks of `script`; they are added where they lack."""
    begin, end = (f"<!-- {script} {mark} -->\n" for mark in ("begin", "end"))
    whole = file.read_text(encoding="utf-8") if file.exists() else ""
    if (begin in whole) != (end in whole):
        sys.exit(f"error: {file} needs the lines {begin.strip()} and {end.strip()}")
    if begin not in whole:
        whole += f"\n{begin}{end}" if whole else begin + end
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    file.write_text(
        f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8"
    )
