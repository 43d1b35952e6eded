"""Exported aligned and plain models side by side: operations, variables, latency.

    python benchmarks/saved_model.py --output benchmarks/RESULTS.md

A pre-trained BERT is exported by `keras_align.export_saved_model` twice: aligned, and
as it is. Both SavedModels are loaded and asked the same texts in turns.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
sys.path += [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import fetching
import finetuning
import numpy as np
import results_file
import tensorflow as tf

import keras_align

SENTENCE = "a fine film with some dull moments that nobody who saw it will forget"
NAMES = ["negative", "positive"]


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--preset", help="keras-nlp preset or local folder; None: MiniLM")
    add("--alignment", nargs="+", default=["ct", "ot"])
    add("--batch-sizes", nargs="+", type=int, default=[1, 32], help="texts a call")
    add("--sequence-length", type=int, default=48, help="tokens")
    add("--repeats", type=int, default=41, help="calls of each")
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def export(alignment, options, folder):
    """Exports the pre-trained model with a new head, and loads it."""
    settings = finetuning.Settings(
        preset=options.preset or fetching.minilm(),
        sequence_length=options.sequence_length,
    )
    model = finetuning.build(settings, len(NAMES), seed=0)
    if alignment != "none":
        keras_align.align_model(model, alignment)
    path = pathlib.Path(folder, alignment)
    keras_align.export_saved_model(model, path, class_names=NAMES)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return tf.saved_model.load(path), stored(path), size


def stored(path):
    """How many variables the files of a SavedModel hold."""
    file = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    names = file.get_variable_to_shape_map()
    return sum(not name.startswith("_CHECKPOINTABLE") for name in names)


def count_operations(signature):
    """How many operations a signature has, in its functions too."""
    graph = signature.graph.as_graph_def()
    return len(graph.node) + sum(len(x.node_def) for x in graph.library.function)


def seconds_of(signature, texts):
    begin = time.perf_counter()
    signature(text=texts)["probabilities"].numpy()
    return time.perf_counter() - begin


def latencies(aligned, plain, batch_size, options):
    """Seconds of both `(repeats, 2)`, in turns, after some calls for warming up."""
    draw = np.random.default_rng(0)
    words = SENTENCE.split()
    lines = [" ".join(draw.permutation(words)) for _ in range(batch_size)]
    texts = tf.constant(lines)
    signatures = [each.signatures["serving_default"] for each in (aligned, plain)]
    for signature in signatures * 3:
        seconds_of(signature, texts)
    order = (signatures, signatures[::-1])  # none is always the first
    rows = []
    for repeat in range(options.repeats):
        row = [seconds_of(each, texts) for each in order[repeat % 2]]
        rows.append(row if repeat % 2 == 0 else row[::-1])
    return np.array(rows)


def table(options):
    head = "alignment | texts | operations | variables | MB | aligned, ms | plain, ms"
    lines = [f"{head} | ratio | quartiles", " | ".join(["---"] * 9)]
    with tempfile.TemporaryDirectory() as folder:
        plain, *of_plain = export("none", options, folder)
        for alignment in options.alignment:
            aligned, *of_aligned = export(alignment, options, folder)
            pair = (aligned, plain)
            counts = [count_operations(x.signatures["serving_default"]) for x in pair]
            variables, sizes = zip(of_aligned, of_plain, strict=True)
            for batch_size in options.batch_sizes:
                times = latencies(aligned, plain, batch_size, options)
                ratios = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
                medians = 1000 * np.median(times, axis=0)
                cells = [alignment, batch_size, both(counts), both(variables)]
                cells += [both([f"{x / 1e6:.1f}" for x in sizes])]
                cells += [f"{ms:.1f}" for ms in medians]
                cells += [f"**{ratios[1]:.2f}**", f"{ratios[0]:.2f}, {ratios[2]:.2f}"]
                lines.append(" | ".join(map(str, cells)))
                print(lines[-1], flush=True)
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def both(pair):
    """Aligned and plain in a cell."""
    return f"{pair[0]} / {pair[1]}"


def main(arguments=None):
    options = parse_arguments(arguments)
    text = table(options)
    if options.output:
        results_file.put(text, options.output, "saved_model.py")


if __name__ == "__main__":
    main()
