"""Runs one of the scripts beside the tests in a process of its own."""

import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent


def run(script, *arguments, returncode=0, **environment):
    """Runs `script` with the arguments; fails with what it wrote to stderr.

    `returncode` is the one that is expected, minus the signal of a killed process.
    """
    paths = [str(FOLDER.parent), str(FOLDER), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == returncode, result.stderr[-3000:]
