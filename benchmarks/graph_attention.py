"""Step time and memory of graph attention, beside PyTorch Geometric and unaligned.

    python benchmarks/graph_attention.py --output benchmarks/RESULTS.md

trains two layers of 8 heads of 8, as in the paper, on random graphs. Every variant is a
process of its own, which reports the median of its steps and the peak of its memory;
the variants take turns in rounds, and a ratio is the median over the rounds with its
range. Without `--output` the table is printed alone.

    python benchmarks/graph_attention.py --draws

compares the dropout of `keras_align.graphs` with Keras's, both under XLA.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import results_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
GRAPHS = {"pubmed's size": (19_717, 88_648, 500), "1M edges": (100_000, 1_000_000, 64)}
VARIANTS = {
    "GraphAttention, XLA": ("tensorflow", None, True),
    "GraphAttention, no XLA": ("tensorflow", None, False),
    "AlignedGraphAttention, gan, XLA": ("tensorflow", "gan", True),
    "AlignedGraphAttention, ct, XLA": ("tensorflow", "ct", True),
    "PyTorch Geometric, GATConv": ("geometric", None, False),
}
RATE, UNITS, HEADS, CLASSES = 0.6, 8, 8, 7


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3)
    add(
        "--steps",
        type=int,
        default=5,
        help="of a process, after two that are not timed",
    )
    add("--graphs", nargs="+", default=list(GRAPHS), choices=list(GRAPHS))
    results_file.add_output(parser)
    add("--draws", action="store_true", help="dropout alone, and nothing else")
    add("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def random_graph(name):
    """Returns features, edges, both directions, and labels."""
    nodes, edges, size = GRAPHS[name]
    rng = np.random.default_rng(0)
    half = rng.integers(0, nodes, (edges // 2, 2), dtype="int32")
    features = rng.random((nodes, size), "float32") * (rng.random((nodes, size)) < 0.1)
    labels = rng.integers(0, CLASSES, nodes)
    return features.astype("float32"), np.concatenate([half, half[:, ::-1]]), labels


def measure(graph, variant, steps):
    """Prints median seconds of a step, and the memory that it needs for a time, MB."""
    kind, alignment, jit = VARIANTS[variant]
    data = random_graph(graph)
    make = geometric_step if kind == "geometric" else keras_step
    step = make(*data, alignment, jit)
    for _ in range(2):  # the first compiles
        step()
    at_rest = memory("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    needed = memory("VmHWM") - at_rest
    print(json.dumps({"seconds": np.median(seconds), "megabytes": needed}))


def memory(name):
    """Returns a size of this process that Linux knows, MB."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith(name))
    return int(found.split()[1]) / 1024


def keras_step(features, edges, labels, alignment, jit):
    """Returns a function that takes a training step of a network of this package."""
    import keras

    import keras_align

    network = keras_align.models.GraphAttentionNetwork(features.shape[1], CLASSES)
    if alignment:
        keras_align.align_model(network, alignment)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, jit_compile=jit)
    inputs = {"features": features, "edges": edges}
    inputs = {name: keras.ops.convert_to_tensor(x) for name, x in inputs.items()}
    return lambda: network.train_on_batch(inputs, labels)


def geometric_step(features, edges, labels, alignment, jit):
    """Returns a function that takes a training step of PyTorch Geometric's layers."""
    import torch
    from torch.nn.functional import cross_entropy, dropout, elu
    from torch_geometric.nn import GATConv

    first = GATConv(features.shape[1], UNITS, HEADS, dropout=RATE)
    second = GATConv(UNITS * HEADS, CLASSES, 1, concat=False, dropout=RATE)
    parameters = [*first.parameters(), *second.parameters()]
    optimizer = torch.optim.Adam(parameters)
    x, index = torch.tensor(features), torch.tensor(edges.T.astype("int64"))
    targets = torch.tensor(labels)

    def step():
        optimizer.zero_grad()
        hidden = elu(first(dropout(x, RATE), index))
        cross_entropy(second(dropout(hidden, RATE), index), targets).backward()
        optimizer.step()

    return step


def draws(repeats=5):
    """Prints the medians of dropout on Cora's features, which need no gradient."""
    import keras
    import tensorflow as tf

    from keras_align.graphs import dropout

    x, seeds = tf.ones((2708, 1433)), keras.random.SeedGenerator(1)
    for title, drop in (("Keras", keras.random.dropout), ("keras_align", dropout)):
        compiled = tf.function(lambda f=drop: f(x, 0.6, seed=seeds), jit_compile=True)
        compiled()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            compiled().numpy()
            seconds.append(time.perf_counter() - start)
        print(f"{title}: {1000 * np.median(seconds):.1f} ms")


def run(graph, variant, steps):
    """Returns what a process of its own measures."""
    command = [sys.executable, __file__, "--measure", graph, variant]
    command += ["--steps", str(steps)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"error: {variant}: {found.stderr[-2000:]}")
    return json.loads(found.stdout.strip().splitlines()[-1])


def table(graph, options):
    """Returns the table of one graph."""
    runs = {variant: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant, found in runs.items():
            found.append(run(graph, variant, options.steps))
            milliseconds = 1000 * found[-1]["seconds"]
            print(f"{graph}, {variant}: {milliseconds:.0f} ms", flush=True)
    nodes, edges, size = GRAPHS[graph]
    lines = [
        f"{nodes:,} nodes, {edges:,} edges, {size} features, {options.rounds} rounds:",
        "",
        "| variant | step, ms | over GraphAttention, XLA | peak memory of steps, MB |",
        "|---|---|---|---|",
    ]
    base = np.array([each["seconds"] for each in next(iter(runs.values()))])
    for variant, found in runs.items():
        seconds = np.array([each["seconds"] for each in found])
        ratio = seconds / base
        memory = np.median([each["megabytes"] for each in found])
        lines.append(
            f"| {variant} | {1000 * np.median(seconds):.0f} | {np.median(ratio):.2f} "
            f"({ratio.min():.2f} to {ratio.max():.2f}) | {memory:.0f} |"
        )
    return "\n".join(lines)


def main():
    options = parse_arguments()
    if options.draws:
        draws()
        return
    if options.measure:
        measure(*options.measure, options.steps)
        return
    text = "\n\n".join(table(graph, options) for graph in options.graphs)
    print(text)
    if options.output:
        results_file.put(text, options.output, pathlib.Path(__file__).name)


if __name__ == "__main__":
    main()
