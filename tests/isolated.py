"""Runs one of the scripts beside the tests in a process of its own."""

import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent


def run(script, *arguments, **environment):
    """Runs `script` with the arguments; fails with what it wrote to stderr."""
    paths = [str(FOLDER.parent), str(FOLDER), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
