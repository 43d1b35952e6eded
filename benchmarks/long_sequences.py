"""Peak memory and time of training steps on long sequences, for each alignment.

    python benchmarks/long_sequences.py --output benchmarks/RESULTS.md

One attention layer is trained under XLA for a few steps, each alignment and length in a
process of its own. Memory is on JAX what XLA plans for the intermediate results of the
gradients, to the byte; on TensorFlow the highest resident size of the process, or on a
GPU what its allocator says, less that before the first step. The resident size holds
what compilation takes too, some 100 to 300 MB at any length.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import results_file

import keras_align

MAX_TOKENS = "on how many the divergence is estimated: `default`, `all` or a number"
ALIGNMENTS = ("none", "ct", "gan", "ot", "mmd")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--alignments", nargs="+", default=ALIGNMENTS, choices=ALIGNMENTS)
    add("--max-tokens", nargs="+", default=["default"], metavar="N", help=MAX_TOKENS)
    add("--lengths", nargs="+", type=int, default=[1024, 4096], help="tokens")
    add("--batch-size", type=int, default=1)
    add("--heads", type=int, default=4)
    add("--head-size", type=int, default=32)
    add("--steps", type=int, default=3, help="of which the median is taken")
    add("--one", nargs=3, help=argparse.SUPPRESS)  # in a process of its own
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def peak_bytes():
    """Highest memory of this process so far."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def planned_bytes(model, x):
    """What XLA plans for the intermediate results of the gradients; JAX alone."""
    import jax

    def loss(weights, state):
        outputs, state, losses = model.stateless_call(
            weights, state, x, training=True, return_losses=True
        )
        return keras.ops.mean(keras.ops.square(outputs - x)) + sum(losses), state

    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in model.non_trainable_variables]
    step = jax.jit(jax.grad(loss, has_aux=True)).lower(weights, state).compile()
    return step.memory_analysis().temp_size_in_bytes


def method(alignment, max_tokens):
    """The argument `alignment` of the layer."""
    if alignment == "none" or max_tokens == "default":
        return None if alignment == "none" else alignment
    of_name = type(keras_align.alignments.get_alignment(alignment))
    return of_name(max_tokens=None if max_tokens == "all" else int(max_tokens))


def measure(alignment, max_tokens, length, options):
    """Bytes of a few steps on top of the model, and the median seconds of a step."""
    width = options.heads * options.head_size
    inputs = keras.Input((length, width), batch_size=options.batch_size)
    layer = keras_align.AlignedMultiHeadAttention(
        options.heads,
        options.head_size,
        alignment=method(alignment, max_tokens),
    )
    model = keras.Model(inputs, layer(inputs, inputs))
    model.compile("adam", "mse", jit_compile=True)
    shape = options.batch_size, length, width
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    before, seconds = peak_bytes(), []
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        loss = model.train_on_batch(x, x, return_dict=True)["loss"]
        seconds.append(time.perf_counter() - begin)
    assert np.isfinite(loss)
    on_jax = keras.backend.backend() == "jax"
    used = planned_bytes(model, x) if on_jax else peak_bytes() - before
    return used, float(np.median(seconds[1:]))


def in_own_process(alignment, max_tokens, length, options):
    settings = "batch_size", "heads", "head_size", "steps"
    command = [sys.executable, __file__, "--one"]
    command += [alignment, max_tokens, str(length)]
    for name in settings:
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        return None
    return json.loads(run.stdout.splitlines()[-1])


def table(options):
    """The results as a Markdown table; `out of memory` where a process ended."""
    head = (
        "alignment | max_tokens | tokens | peak, MB | over soft | step, s | over soft"
    )
    lines = [head, " | ".join(["---"] * 7)]
    for length in options.lengths:
        soft = None
        for case in itertools.product(options.alignments, options.max_tokens):
            if case[0] == "none" and case[1] != options.max_tokens[0]:
                continue
            found = in_own_process(*case, length, options)
            soft = found if case[0] == "none" else soft
            lines.append(row(*case, length, found, soft))
            print(lines[-1], flush=True)
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def row(alignment, max_tokens, length, found, soft):
    number = "" if alignment == "none" else max_tokens
    cells = [alignment, number, f"{length:,}"]
    if found is None:
        return " | ".join([*cells, "out of memory", "", "", ""])
    over = [f"{a / b:.2f}" for a, b in zip(found, soft or found, strict=True)]
    cells += [f"{found[0] / 1e6:,.0f}", over[0], f"{found[1]:.2f}", over[1]]
    return " | ".join(cells)


def main(arguments=None):
    options = parse_arguments(arguments)
    if options.one:
        alignment, max_tokens, length = options.one
        print(json.dumps(measure(alignment, max_tokens, int(length), options)))
        return
    text = table(options)
    if options.output:
        results_file.put(text, options.output, "long_sequences.py")


if __name__ == "__main__":
    main()
