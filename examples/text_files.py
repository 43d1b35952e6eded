"""Texts and JSON of files, plain or with `.gz`; errors name the file."""

import gzip
import json
import pathlib


def read(file):
    """Returns the text of a file in UTF-8.

    Raises:
        ValueError: If it is none.
    """
    file = pathlib.Path(file)
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"Expected {file} to hold text in UTF-8: {error}") from error


def read_json(file, kind=object):
    """Returns what a JSON file holds, which must be a `kind`, as `dict`.

    Raises:
        ValueError: If it holds none.
    """
    try:
        found = json.loads(read(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"Expected {file} to hold JSON: {error}") from error
    if not isinstance(found, kind):
        raise ValueError(f"Expected {file} to hold a {kind.__name__} in JSON")
    return found
