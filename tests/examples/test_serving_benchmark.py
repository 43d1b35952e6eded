"""`benchmarks/serving.py`: its rounds and its table."""

import asyncio
import importlib
import pathlib
import re

import isolated
import numpy as np
import pytest
import served_toy

pytestmark = pytest.mark.backends("tensorflow")


@pytest.mark.slow
def test_the_benchmark_writes_its_table(tmp_path):
    folder = served_toy.save(tmp_path)
    file = tmp_path / "results.md"
    before, after = (
        "before\n<!-- serving.py begin -->",
        "<!-- serving.py end -->\nafter\n",
    )
    file.write_text(f"{before}\nold\n{after}")
    quick = "--seconds", 1, "--rounds", 2, "--clients", 2, "--output", file
    script = served_toy.SCRIPT.parents[2] / "benchmarks" / "serving.py"
    isolated.run(script, folder, folder, *quick)
    text = file.read_text()
    assert text.startswith(before) and text.endswith(after) and "old" not in text
    rows = re.findall(rf"^\| {folder} \|(?: [0-9.]+ \|){{3}}.*\|$", text, re.M)
    assert len(rows) == 2


@pytest.fixture
def benchmark(monkeypatch):
    """The module of the benchmark."""
    monkeypatch.syspath_prepend(served_toy.SCRIPT.parents[2] / "benchmarks")
    return importlib.import_module("serving")


def test_the_benchmark_alternates_and_leaves_out_its_warm_up(benchmark, monkeypatch):
    loaded = []

    async def load(address, options, seconds, seed):
        loaded.append((seed, address))
        return 1.0, [10.0 if seed == "warm-up" else 0.1]

    monkeypatch.setattr(benchmark, "load", load)
    options = benchmark.parse_arguments(["aligned", "plain", "--rounds", "3"])
    rates, latencies = asyncio.run(benchmark.measure(["aligned", "plain"], options))
    assert rates.shape == (2, 3) and np.max(latencies) == 0.1
    order = [[name for seed, name in loaded if seed == each] for each in range(3)]
    assert order == [["aligned", "plain"], ["plain", "aligned"], ["aligned", "plain"]]


def test_the_benchmark_tells_folders_of_one_name_apart(benchmark):
    folders = [pathlib.Path("a/model"), pathlib.Path("b/model")]
    assert benchmark.labels(folders) == ["a/model", "b/model"]
    assert benchmark.labels([folders[0], pathlib.Path("b/plain")]) == ["model", "plain"]
