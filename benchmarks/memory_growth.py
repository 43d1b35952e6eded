"""Memory of the alignments on all tokens against the length, and its exponent.

    KERAS_BACKEND=jax python benchmarks/memory_growth.py --output benchmarks/RESULTS.md

What XLA plans, to the byte, for the intermediate results of the gradients of one
alignment with its networks, for one sample; nothing is run. The exponent is that of the
growth from each length to the next, 1 for linear.
"""

import argparse
import math
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import results_file

import keras_align

ALIGNMENTS = {
    "ct": keras_align.ConditionalTransportAlignment,
    "gan": keras_align.AdversarialAlignment,
    "mmd": keras_align.MaximumMeanDiscrepancyAlignment,
    "ot": keras_align.OptimalTransportAlignment,
}
LENGTHS = [128, 512, 1024, 2048, 4096, 8192, 16384]


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--alignments", nargs="+", default=list(ALIGNMENTS), choices=list(ALIGNMENTS))
    add("--lengths", nargs="+", type=int, default=LENGTHS, help="tokens")
    add("--heads", type=int, default=12)
    add("--head-size", type=int, default=64)
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def planned_bytes(name, shape):
    """What XLA plans for value and gradients of queries, keys and weights."""
    alignment = ALIGNMENTS[name](max_tokens=None)
    alignment.build(shape, shape)
    weights = [v.value for v in alignment.trainable_variables]
    state = [v.value for v in alignment.non_trainable_variables]

    def total(query, key, weights):
        value, _ = alignment.stateless_call(weights, state, query, key)
        return value.sum()

    x = jax.ShapeDtypeStruct(shape, "float32")
    step = jax.jit(jax.value_and_grad(total, (0, 1, 2))).lower(x, x, weights).compile()
    return step.memory_analysis().temp_size_in_bytes


def main(arguments=None):
    options = parse_arguments(arguments)
    if keras.backend.backend() != "jax":
        raise SystemExit(
            "error: set KERAS_BACKEND=jax, whose compiler tells the memory"
        )
    head = ["tokens", *(f"{name}, MiB (exponent)" for name in options.alignments)]
    lines, before = [head, ["---"] * len(head)], {}
    for length in options.lengths:
        cells = [f"{length:,}"]
        for name in options.alignments:
            size = planned_bytes(name, (1, length, options.heads, options.head_size))
            growth = ""
            if name in before:
                shorter, smaller = before[name]
                exponent = math.log(size / smaller) / math.log(length / shorter)
                growth = f" ({exponent:.2f})"
            before[name] = length, size
            cells.append(f"{size / 2**20:.1f}{growth}")
        lines.append(cells)
        print("  ".join(cells), flush=True)
    if options.output:
        text = results_file.table(lines)
        results_file.put(text, options.output, "memory_growth.py")


if __name__ == "__main__":
    main()
