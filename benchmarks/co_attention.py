"""Train step and parameters of a modular co-attention network, aligned over soft.

    python benchmarks/co_attention.py --output benchmarks/RESULTS.md

The network has the size of "Alignment Attention": 4 layers, 512 wide, 8 heads of 64, 14
words, 100 regions of 2,048 features, 3,129 answers. For every alignment a network with
it and one without take steps in turns, compiled by XLA, with Adam as in `fit`; the
ratio is that of each pair of steps. Compilation is not timed.
"""

import argparse
import functools
import gc

import keras
import numpy as np
import results_file
from train_step import ALIGNMENTS, DEFAULT, measure, method, token_count

import keras_align

WORDS, REGIONS, FEATURES = 14, 100, 2048
ANSWERS, VOCABULARY = 3129, 15000
COLUMNS = "alignment", "parameters", "soft, ms", "aligned, ms", "ratio", "quartiles"


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--alignments", nargs="+", default=list(ALIGNMENTS))
    parser.add_argument(
        "--max-tokens",
        type=token_count,
        default=DEFAULT,
        help="on how many the divergence is estimated: `default`, `all` or a number",
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=15, help="pairs of steps")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--machine", default="", help="a few words for the title")
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def build(options, alignment=None):
    """Returns a compiled network, with `alignment` if one is given."""
    keras.utils.set_random_seed(0)
    model = keras_align.models.ModularCoAttentionNetwork(
        ANSWERS,
        VOCABULARY,
        FEATURES,
        question_length=WORDS,
        num_regions=REGIONS,
        num_layers=options.layers,
    )
    if alignment is not None:
        keras_align.align_model(model, method(alignment, options.max_tokens))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=True)
    return model


def make_batch(batch_size):
    """Returns questions of 5 to 14 words, features of regions, and answers."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(5, WORDS + 1, batch_size)
    ids = draw.integers(2, VOCABULARY, (batch_size, WORDS))
    inputs = {
        "question": (ids * (np.arange(WORDS) < lengths[:, None])).astype("int32"),
        "image": draw.random((batch_size, REGIONS, FEATURES), "float32"),
    }
    return inputs, draw.integers(0, ANSWERS, batch_size)


def compare(alignment, soft, data, options):
    """Measures an alignment; returns its row of the table."""
    aligned = build(options, alignment)
    steps = [functools.partial(each.train_on_batch, *data) for each in (soft, aligned)]
    seconds = measure(steps, options)
    low, middle, high = np.quantile(seconds[:, 1] / seconds[:, 0], [0.25, 0.5, 0.75])
    soft_ms, aligned_ms = 1000.0 * np.median(seconds, axis=0)
    share = count(aligned) / count(soft) - 1.0
    return (
        f"| {alignment} | {share:+.2%} | {soft_ms:.0f} | {aligned_ms:.0f} "
        f"| **{middle:.2f}** | {low:.2f}, {high:.2f} |\n"
    )


def count(model):
    """Returns the number of weights that are trained."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def main(arguments=None):
    options = parse_arguments(arguments)
    data, soft = make_batch(options.batch_size), build(options)
    rows = ""
    for alignment in options.alignments:
        row = compare(alignment, soft, data, options)
        print(row, end="", flush=True)
        rows += row
        gc.collect()
    machine = f", {options.machine}" if options.machine else ""
    title = (
        f"Batches of {options.batch_size}, {options.layers} layers, {count(soft):,} "
        f"parameters, {options.repeats} rounds of steps, {options.clock} time{machine}."
    )
    header = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    if options.output:
        report = f"{title}\n\n{header}{rows}"
        results_file.put(report, options.output, "co_attention.py")


if __name__ == "__main__":
    main()
