"""Tables of a Markdown file, each between the marks of the script that made it."""

import sys


def table(lines):
    """Markdown of lines of cells, which are strings."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(text, file, script):
    """Writes a table between the marks of `script` in a file, which must have them."""
    begin, end = (f"<!-- {script} {mark} -->\n" for mark in ("begin", "end"))
    whole = file.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        sys.exit(f"error: {file} needs the lines {begin.strip()} and {end.strip()}")
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    file.write_text(
        f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8"
    )
