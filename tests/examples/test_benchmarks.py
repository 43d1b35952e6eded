"""`python -m benchmarks`, and the divergences beside other libraries."""

import json
import pathlib
import runpy
import subprocess
import sys

import pytest

pytestmark = pytest.mark.backends("tensorflow")  # it starts others itself

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


def test_every_benchmark_of_the_one_command_takes_its_arguments(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    names = runpy.run_path(FOLDER / "__main__.py")["BENCHMARKS"]
    assert len(names) > 8
    for _, command in names.values():
        script, *arguments = command.split() + ["--output", "x.md"]
        runpy.run_path(FOLDER / script)["parse_arguments"](arguments)


@pytest.mark.slow
def test_divergences_beside_a_transcription(tmp_path):
    file = tmp_path / "times.json"
    command = [sys.executable, FOLDER / "divergences.py", "--divergences", "ct", "gan"]
    command += ["--tokens", "8", "--repeats", "2", "--json", file]
    command += ["--libraries", "keras_align_torch", "transcription"]
    subprocess.run(command, check=True, capture_output=True)
    times = json.loads(file.read_text(encoding="utf-8"))
    for library in ("keras_align_torch", "transcription"):
        assert len(times["ct 8"][library]["seconds"]) == 2
        assert times["ct 8"][library]["error"] < 1e-3
        assert times["gan 8"][library]["seconds"][0] > 0.0
    assert times["gan 8"]["transcription"]["error"] < 1e-4


def test_an_unknown_divergence_is_an_error():
    command = [sys.executable, FOLDER / "divergences.py", "--divergences", "kl"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "invalid choice: 'kl'" in result.stderr
