"""Samples a second on one and two replicas, and the efficiency expected on many.

    python benchmarks/scaling.py --output benchmarks/RESULTS.md

The processor of this machine, split into two logical devices, trains a BERT under
`tf.distribute.MirroredStrategy` with one and with two replicas, with and without an
alignment, each replica with the same batch. The four take steps in turns.

The efficiency on n devices is that of a model of the costs, not measured: a step takes
the measured time t of one replica, and then a ring all-reduce of the b bytes of the
gradients over links of bandwidth B and latency a,

    t(n) = t + 2 (n - 1) / n * b / B + 2 (n - 1) * a,    efficiency(n) = t / t(n),

with nothing overlapped. An alignment adds its networks' gradients to b, and time to t.
"""

import argparse
import importlib.metadata
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_hub
import numpy as np
import results_file
import tensorflow as tf

import keras_align

ALIGNMENTS = ("none", "ct", "gan", "ot", "mmd")
MANY = (8, 64, 1000)
VOCABULARY = 30522


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--alignments", nargs="+", default=["none", "ct"], choices=ALIGNMENTS)
    add("--layers", type=int, default=6)
    add("--width", type=int, default=384)
    add("--batch-size", type=int, default=8, help="of each replica")
    add("--length", type=int, default=64, help="tokens a sample")
    add("--repeats", type=int, default=7, help="steps of each")
    add("--jit", action=argparse.BooleanOptionalAction, default=True)
    add("--bandwidth", type=float, default=12.5, help="of a link, GB/s")
    add("--latency", type=float, default=5.0, help="of a link, microseconds")
    add("--device-speed", type=float, default=1.0, help="of a device over a replica's")
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def build(options, alignment, strategy):
    """Returns a classifier made for the strategy, compiled for its replicas."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        backbone = keras_hub.models.BertBackbone(
            VOCABULARY,
            options.layers,
            12,
            options.width,
            4 * options.width,
            max_sequence_length=options.length,
        )
        model = keras_hub.models.BertTextClassifier(backbone, 2, preprocessor=None)
        if alignment != "none":
            keras_align.align_model(model, alignment)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(2e-5), loss, jit_compile=False)
    return keras_align.training.distribute(model, jit_compile=options.jit)


def batch(options, replicas):
    """Random tokens for all replicas together."""
    generator = np.random.default_rng(0)
    shape = replicas * options.batch_size, options.length
    inputs = {
        "token_ids": generator.integers(1, VOCABULARY, shape),
        "segment_ids": np.zeros(shape, "int32"),
        "padding_mask": np.ones(shape, bool),
    }
    return inputs, generator.integers(0, 2, shape[0])


def stepper(model, data, replicas):
    """A function that takes one training step and returns its seconds."""
    dataset = tf.data.Dataset.from_tensors(data).repeat()
    strategy = model.distribute_strategy
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    model.fit(*data, batch_size=len(data[1]), verbose=0)  # builds and traces

    def step():
        begin = time.perf_counter()
        logs = model.train_function(iterator)
        float(logs["loss"])
        return time.perf_counter() - begin

    step()
    step()
    return step


def measure(options):
    """Median seconds of a step for each alignment and number of replicas."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, parts)
    # One for all models: collective operations are numbered by their strategy.
    strategies = [tf.distribute.MirroredStrategy(["CPU:0"])]
    strategies.append(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    steps, sizes = {}, {}
    for alignment in options.alignments:
        for strategy in strategies:
            replicas = strategy.num_replicas_in_sync
            model = build(options, alignment, strategy)
            sizes[alignment] = sum(
                4 * int(np.prod(weight.shape)) for weight in model.trainable_weights
            )
            data = batch(options, replicas)
            steps[alignment, replicas] = stepper(model, data, replicas)
    seconds = {key: [] for key in steps}
    for _ in range(options.repeats):
        for key, step in steps.items():
            seconds[key].append(step())
    return {key: float(np.median(times)) for key, times in seconds.items()}, sizes


def efficiency(seconds, size, devices, options):
    """The formula at the top of this file."""
    computing = seconds / options.device_speed
    reducing = 2 * (devices - 1) / devices * size / (options.bandwidth * 1e9)
    waiting = 2 * (devices - 1) * options.latency * 1e-6
    return computing / (computing + reducing + waiting)


def table(options, seconds, sizes):
    """The results as a Markdown table."""
    head = ["alignment", "MB of gradients", "1 replica, samples/s", "2 replicas"]
    head += [f"efficiency, {n} devices" for n in MANY]
    lines = [head, ["---"] * len(head)]
    for alignment in options.alignments:
        one, two = (seconds[alignment, replicas] for replicas in (1, 2))
        cells = [alignment, f"{sizes[alignment] / 1e6:.1f}"]
        cells += [f"{n * options.batch_size / t:.1f}" for n, t in ((1, one), (2, two))]
        cells += [
            f"{100 * efficiency(one, sizes[alignment], n, options):.1f}%" for n in MANY
        ]
        lines.append(cells)
    return results_file.table(lines)


def main(arguments=None):
    options = parse_arguments(arguments)
    seconds, sizes = measure(options)
    version = importlib.metadata.version("tensorflow")
    text = table(options, seconds, sizes)
    print(f"tensorflow {version}\n{text}")
    if options.output:
        results_file.put(text, options.output, "scaling.py")


if __name__ == "__main__":
    main()
