"""CPU time and accuracy of the divergences, beside other libraries.

    pip install ".[benchmarks]"
    python benchmarks/divergences.py --output benchmarks/RESULTS.md

Value and gradients of 8 x 12 problems (samples, heads) of vectors of size 64, float32,
on all tokens, one processor. Each library has a process of its own; they take steps in
turns, so that all see the same machine. The time is the CPU time of a step; the error
that of the gradient of the queries, relative to float64. Ratios are to the fastest peer
with an error of at most 1%. Optimal transport is timed with the iterations that
keras_align takes by default, and "converged", with those that the peers may take. The
gradient of our "gan" is that of another objective by design, and has no error.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import results_file

WORKER = pathlib.Path(__file__).with_name("divergence_worker.py")
OURS = ["keras_align_tensorflow", "keras_align_jax", "keras_align_torch"]
CONVERGED = ["keras_align_tensorflow_converged", "keras_align_jax_converged"]
LARGEST_ERROR = 0.01  # of a peer to which others are compared
PEERS = {
    "ct": ["transcription", "compiled"],
    "gan": ["transcription", "compiled"],
    "mmd": ["transcription", "compiled", "geomloss"],
    "ot": ["pot", "ott", "geomloss", "geomloss_slow"],
}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--divergences", nargs="+", default=list(PEERS), choices=list(PEERS))
    add("--tokens", nargs="+", type=int, default=[128, 512])
    libraries = sorted({name for each in PEERS for name in libraries_of(each)})
    add("--libraries", nargs="+", choices=libraries, help="of these alone")
    add("--repeats", type=int, default=9)
    add("--processor", type=int, default=0, help="on which all run")
    results_file.add_output(parser)
    add("--json", type=pathlib.Path, help="file for all times")
    return parser.parse_args(arguments)


def is_ours(library):
    return library.startswith("keras_align")


def title(library):
    """As `keras_align, jax, converged`."""
    if not is_ours(library):
        return library
    return ", ".join(["keras_align", *library.split("_")[2:]])


def libraries_of(divergence, wanted=None):
    libraries = OURS + (CONVERGED if divergence == "ot" else []) + PEERS[divergence]
    return [x for x in libraries if wanted is None or x in wanted]


def start(library, divergence, tokens, file, processor):
    """The process of one library."""
    environment = {**os.environ, "PROCESSOR": str(processor), "OMP_NUM_THREADS": "1"}
    if is_ours(library):
        environment["KERAS_BACKEND"] = library.split("_")[2]
    root = str(WORKER.parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, os.environ.get("PYTHONPATH", "")]
    )
    command = [sys.executable, str(WORKER), library, divergence, str(tokens), str(file)]
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(library, process):
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{library} ended: {process.stderr.read()[-2000:]}")
    return json.loads(line)


def reference(divergence, tokens, folder, processor):
    """Gradient of the queries of the first sample in float64."""
    file = folder / "reference.npz"
    process = start("reference", divergence, tokens, file, processor)
    answer("reference", process)
    process.communicate()
    return np.load(file)["gradient"]


def measure(divergence, tokens, libraries, options):
    """For each library a dictionary of its times and its error."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        exact = reference(divergence, tokens, folder, options.processor)
        processes, results = {}, {}
        for library in libraries:
            file = folder / f"{library}.npz"
            process = start(library, divergence, tokens, file, options.processor)
            stack.callback(process.kill)
            answer(library, process)
            difference = np.load(file)["gradient"][: len(exact)] - exact
            error = np.linalg.norm(difference) / np.linalg.norm(exact)
            if divergence == "gan" and is_ours(library):
                error = np.nan  # the gradient of another objective
            results[library] = {"error": float(error), "seconds": []}
            processes[library] = process
        for _ in range(options.repeats):
            for library, process in processes.items():
                process.stdin.write("\n")
                process.stdin.flush()
                results[library]["seconds"].append(answer(library, process))
    return results


def rows(divergence, tokens, results):
    """Lines of the table; ratios are of the medians, over the fastest peer's."""

    def median(library):
        return float(np.median(results[library]["seconds"]))

    right = [x for x, result in results.items() if result["error"] <= LARGEST_ERROR]
    fastest = min((median(x) for x in right if not is_ours(x)), default=np.nan)
    for library, result in results.items():
        low, high = 1e3 * np.quantile(result["seconds"], [0.25, 0.75])
        yield [
            f"{divergence} {tokens}",
            title(library),
            f"{1e3 * median(library):.0f}",
            f"{low:.0f}, {high:.0f}",
            f"{median(library) / fastest:.2f}",
            "" if np.isnan(result["error"]) else f"{result['error']:.0e}",
        ]


def main(arguments=None):
    options = parse_arguments(arguments)
    head = ["divergence, tokens", "library", "CPU ms", "quartiles"]
    head += ["ratio to the fastest peer", "error of the gradient"]
    lines, everything = [head, ["---"] * len(head)], {}
    for tokens in options.tokens:
        for divergence in options.divergences:
            libraries = libraries_of(divergence, options.libraries)
            results = measure(divergence, tokens, libraries, options)
            everything[f"{divergence} {tokens}"] = results
            for line in rows(divergence, tokens, results):
                lines.append(line)
                print("  ".join(line), flush=True)
    text = results_file.table(lines)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1), encoding="utf-8")
    if options.output:
        results_file.put(text, options.output, "divergences.py")


if __name__ == "__main__":
    main()
