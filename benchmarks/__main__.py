"""The benchmarks of speed and memory that need no file, one after the other.

    pip install ".[benchmarks]"
    python -m benchmarks --output results

Each is a script of this folder in a process of its own; `--only` takes some, and
each has more options when it is called itself. The tables are in `<name>.md`, what was
printed in `<name>.txt`. Leave the machine alone meanwhile. Two need more: `serving.py`
exported models, and `matched_moments.py`, which measures discrepancies, a model and
data.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
MINI_LM = "--sizes MiniLM --batch-size 8 --repeats 9"
# Name: backend, script and arguments.
BENCHMARKS = {
    "divergences": ("tensorflow", "divergences.py"),
    "memory_growth": ("jax", "memory_growth.py"),
    "long_sequences": (
        "tensorflow",
        "long_sequences.py --lengths 4096 --max-tokens all",
    ),
    "train_step": ("tensorflow", f"train_step.py {MINI_LM} --steps xla graph"),
    "train_step_jax": ("jax", f"train_step.py {MINI_LM} --steps xla"),
    "train_step_torch": ("torch", f"train_step.py {MINI_LM} --steps graph"),
    "train_step_bert_base": (
        "tensorflow",
        "train_step.py --sizes BERT-base --batch-size 4 --steps xla --repeats 7",
    ),
    "co_attention": ("tensorflow", "co_attention.py"),
    "graph_attention": ("tensorflow", "graph_attention.py"),
    "long_sequences_of_one_head": (
        "tensorflow",
        "long_sequences.py --lengths 16384 --max-tokens all --heads 1 --head-size 64 "
        "--steps 1",
    ),
    "scaling": ("tensorflow", "scaling.py"),
    "alignment_monitor": ("tensorflow", "alignment_monitor.py --samples 512"),
    "start_up": ("tensorflow", "start_up.py"),
    "start_up_jax": ("jax", "start_up.py --steps xla"),
    "model_files": ("tensorflow", "model_files.py"),
    "saved_model": ("tensorflow", "saved_model.py"),
}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = list(BENCHMARKS)
    add = parser.add_argument
    add("--only", nargs="+", default=names, choices=names, help="of these alone")
    folder = "benchmark_results"
    add("--output", type=pathlib.Path, default=folder, help="folder of their output")
    return parser.parse_args(arguments)


def run(name, folder):
    """Runs one benchmark; returns whether it succeeded."""
    backend, command = BENCHMARKS[name]
    script, *arguments = command.split()
    arguments += ["--output", str(folder.absolute() / f"{name}.md")]
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    begin = time.perf_counter()
    with open(folder / f"{name}.txt", "w", encoding="utf-8") as file:
        result = subprocess.run(
            [sys.executable, str(HERE / script), *arguments],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    minutes = (time.perf_counter() - begin) / 60
    status = "" if result.returncode == 0 else "  FAILED, see the file"
    print(f"{name}: {minutes:.1f} minutes, {file.name}{status}", flush=True)
    return result.returncode == 0


def main(arguments=None):
    options = parse_arguments(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    done = [run(name, options.output) for name in options.only]
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
