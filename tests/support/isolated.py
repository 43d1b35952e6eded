"""Runs the scripts beside the tests in processes of their own."""

import json
import os
import pathlib
import socket
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent
# For XLA on CPUs: what it compiles is checked, not how fast it runs.
QUICK_XLA = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


def start(script, *arguments, **environment):
    """Starts `script` with the arguments and returns the process."""
    paths = [str(FOLDER.parents[1]), str(FOLDER), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, returncode=0):
    """Waits for a process and returns what it printed; fails with its stderr.

    `returncode` is the one that is expected, minus the signal of a killed process.
    """
    output, errors = process.communicate()
    assert process.returncode == returncode, errors[-3000:]
    return output


def run(script, *arguments, returncode=0, **environment):
    """Runs `script` with the arguments, see `start` and `finish`."""
    return finish(start(script, *arguments, **environment), returncode)


def addresses(workers):
    """Addresses of that many workers on free ports of this machine."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(workers)]
    found = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


def clusters(workers):
    """The values of TF_CONFIG of workers on this machine."""
    cluster = {"worker": addresses(workers)}
    tasks = ({"type": "worker", "index": index} for index in range(workers))
    return [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
