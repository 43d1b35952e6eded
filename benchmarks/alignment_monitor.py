"""What `AlignmentMonitor` costs: time of an epoch with it over one without it.

    python benchmarks/alignment_monitor.py --output benchmarks/RESULTS.md

A BERT of MiniLM's size with random weights, or with `--preset FOLDER` (or `minilm`, the
one that the examples fetch) a real one, is aligned and trained, one epoch after another
in turns with and without the monitor, in one process. Each kind of epoch runs once
before, so that compilation, and what the first measurement traces, is not timed. The
monitor is that of the defaults, `--sample` random sentences measured at the end of
every epoch (and once before the first one, which is not counted); the share is the
median of (with - without) / without over the rounds. The time of a measurement alone is
printed too, as it does not depend on the epoch. Where other programs use the same
cores, threads of NumPy's OpenBLAS wait for each other: set `OPENBLAS_NUM_THREADS=1`.
"""

import argparse
import importlib.metadata
import pathlib
import sys
import time

import keras
import keras_hub
import numpy as np
import results_file

import keras_align
from keras_align.callbacks import AlignmentMonitor

MINILM = {"num_layers": 6, "hidden_dim": 384, "intermediate_dim": 1536}
COLUMNS = (
    "model",
    "samples of an epoch",
    "sample measured",
    "without, s",
    "with, s",
    "measurement, s",
    "share",
    "quartiles",
)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", help="a BERT's folder, or `minilm`")
    parser.add_argument("--layers", type=int, help="of the model without a preset")
    parser.add_argument("--width", type=int, help="of the model without a preset")
    parser.add_argument("--alignment", default="ct")
    parser.add_argument("--samples", type=int, default=8192, help="of an epoch")
    parser.add_argument("--sample", type=int, default=32, help="of the monitor")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=32, help="tokens of a sample")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of epochs")
    parser.add_argument("--machine", default="", help="a few words for the title")
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def build(options):
    """Returns the name and the compiled, aligned classifier."""
    keras.utils.set_random_seed(0)
    preset = options.preset
    if preset == "minilm":
        sys.path.insert(
            0, str(pathlib.Path(__file__).resolve().parents[1] / "examples")
        )
        import fetching

        preset = str(fetching.minilm())
    if preset:
        load = keras_hub.models.BertTextClassifier.from_preset
        model = load(preset, num_classes=2, preprocessor=None)
    else:
        config = {"vocabulary_size": 30522, "num_heads": 12, **MINILM}
        config["num_layers"] = options.layers or config["num_layers"]
        if options.width:
            config |= {"hidden_dim": options.width, "intermediate_dim": options.width}
        backbone = keras_hub.models.BertBackbone(**config)
        model = keras_hub.models.BertTextClassifier(
            backbone, num_classes=2, preprocessor=None
        )
    keras_align.align_model(model, options.alignment)
    model.compile(
        optimizer=keras.optimizers.AdamW(2e-5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    return ("real weights" if preset else "random weights"), model


def make_samples(options, count):
    """Returns random token ids with padding, half a sample at most, and labels."""
    draw = np.random.default_rng(count)
    shape = count, options.length
    lengths = draw.integers(options.length // 2, options.length + 1, shape[:1])
    mask = np.arange(options.length) < lengths[:, None]
    inputs = {
        "token_ids": (draw.integers(1000, 30000, shape) * mask).astype("int32"),
        "segment_ids": np.zeros(shape, "int32"),
        "padding_mask": mask.astype("int32"),
    }
    return inputs, draw.integers(0, 2, count).astype("int32")


class Timed(AlignmentMonitor):
    """Notes how long the end of an epoch takes."""

    seconds = 0.0

    def on_epoch_end(self, epoch, logs=None):
        start = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        self.seconds = time.perf_counter() - start


class EpochTime(keras.callbacks.Callback):
    """Notes how long an epoch takes, with all callbacks before this one."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def measure(model, data, options):
    """Seconds `(rounds, 3)`: an epoch without and with, and a measurement."""
    monitor = Timed(make_samples(options, options.sample)[0])
    seconds = np.zeros((options.rounds + 1, 3))
    fit = {"batch_size": options.batch_size, "shuffle": False, "verbose": 0}
    for number, row in enumerate(seconds):
        for column in np.roll((0, 1), number):
            clock = EpochTime()
            callbacks = [monitor, clock] if column else [clock]
            model.fit(*data, callbacks=callbacks, **fit)
            row[column] = clock.seconds
        row[2] = monitor.seconds
    return seconds[1:]


def main(arguments=None):
    options = parse_arguments(arguments)
    name, model = build(options)
    data = make_samples(options, options.samples)
    seconds = measure(model, data, options)
    shares = np.quantile(
        (seconds[:, 1] - seconds[:, 0]) / seconds[:, 0], [0.25, 0.5, 0.75]
    )
    without, with_monitor, alone = np.median(seconds, axis=0)
    cells = (
        name,
        f"{options.samples} x {options.length} tokens",
        f"{options.sample}",
        f"{without:.2f}",
        f"{with_monitor:.2f}",
        f"{alone:.3f} ({alone / without:.2%})",
        f"**{shares[1]:+.2%}**",
        f"{shares[0]:+.2%}, {shares[2]:+.2%}",
    )
    report = f"{title(options)}\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    report += f"| {' | '.join(cells)} |\n"
    print(report)
    if options.output:
        results_file.put(report, options.output, "alignment_monitor.py")


def title(options):
    packages = "keras", keras.backend.backend(), "keras-hub"
    versions = [f"{x} {importlib.metadata.version(x)}" for x in packages]
    machine = [options.machine] if options.machine else []
    parts = [f"{options.rounds} pairs of epochs", *machine, *versions]
    return f"{', '.join(parts)}. Share: median and quartiles of the extra time.\n"


if __name__ == "__main__":
    main()
