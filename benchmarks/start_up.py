"""Import time, and CPU time to the first training step, beside soft attention.

    python benchmarks/start_up.py --output benchmarks/RESULTS.md

Every figure is that of a fresh process, and the processes of one round follow each
other. The import time is that of keras_align after keras. The first step is
`fit` on one batch by a BERT with random weights: tracing, compilation and one step; a
later step is subtracted, so that what remains is the time to begin.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import results_file

ALIGNMENTS = ("none", "ct", "gan", "ot", "mmd")
IMPORT = (
    "import time, keras; begin = time.process_time(); import keras_align; "
    "print(time.process_time() - begin)"
)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--alignments", nargs="+", default=list(ALIGNMENTS), choices=ALIGNMENTS)
    add("--steps", nargs="+", default=["xla", "graph"], choices=["xla", "graph"])
    add("--layers", type=int, default=6)
    add("--width", type=int, default=384)
    add("--length", type=int, default=64, help="tokens a sample")
    add("--batch-size", type=int, default=8)
    add("--repeats", type=int, default=5)
    add("--build-optimizer", action="store_true", help="before `fit`")
    results_file.add_output(parser)
    add("--one", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    return parser.parse_args(arguments)


def first_step(options, alignment, step):
    """CPU seconds of the first step less those of a later one."""
    import keras
    import keras_hub

    import keras_align

    heads, width = 12, options.width
    backbone = keras_hub.models.BertBackbone(
        30522,
        options.layers,
        heads,
        width,
        4 * width,
        max_sequence_length=options.length,
    )
    model = keras_hub.models.BertTextClassifier(backbone, 2, preprocessor=None)
    if alignment != "none":
        keras_align.align_model(model, alignment)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=step == "xla")
    shape = options.batch_size, options.length
    inputs = {
        "token_ids": np.ones(shape, "int32"),
        "segment_ids": np.zeros(shape, "int32"),
        "padding_mask": np.ones(shape, bool),
    }
    seconds = []
    for number in range(3):
        begin = time.process_time()
        if options.build_optimizer and number == 0:
            model.optimizer.build(model.trainable_variables)
        model.fit(inputs, np.zeros(shape[0], "int32"), batch_size=shape[0], verbose=0)
        seconds.append(time.process_time() - begin)
    return seconds[0] - seconds[-1]


def in_a_process(command):
    root = str(pathlib.Path(__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )
    if result.returncode:
        sys.exit(result.stderr)
    return float(result.stdout.split()[-1])


def row(name, seconds, base=None):
    """Cells of the table: the median, and quartiles of the ratios to a base."""
    middle = f"{np.median(seconds):.2f}"
    if base is None:
        return [name, middle, "", ""]
    ratios = np.divide(seconds, base)
    low, high = np.quantile(ratios, [0.25, 0.75])
    return [name, middle, f"**{np.median(ratios):.2f}**", f"{low:.2f}, {high:.2f}"]


def main(arguments=None):
    options = parse_arguments(arguments)
    if options.one:
        print(first_step(options, *options.one))
        return
    given = sys.argv[1:] if arguments is None else list(arguments)
    imports = [in_a_process(["-c", IMPORT]) for _ in range(options.repeats)]
    lines = [["", "CPU s", "ratio to soft attention", "quartiles"], ["---"] * 4]
    lines.append(row("import, after keras", imports))
    for step in options.steps:
        seconds = {alignment: [] for alignment in options.alignments}
        for _ in range(options.repeats):
            for alignment in options.alignments:
                command = [__file__, *given, "--one", alignment, step]
                seconds[alignment].append(in_a_process(command))
        for alignment, times in seconds.items():
            base = seconds.get("none") if alignment != "none" else None
            lines.append(row(f"first step, {step}, {alignment}", times, base))
            print(json.dumps(lines[-1]), flush=True)
    text = results_file.table(lines)
    print(text)
    if options.output:
        results_file.put(text, options.output, "start_up.py")


if __name__ == "__main__":
    main()
