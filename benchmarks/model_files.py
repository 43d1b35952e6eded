"""Time of conversion, matching of moments, saving and loading, beside soft attention.

    python benchmarks/model_files.py --output benchmarks/RESULTS.md

A BERT with random weights; each operation on a soft and on an aligned model in turns.
"""

import argparse
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np
import results_file

import keras_align


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--alignment", default="ct", choices=["ct", "gan", "ot", "mmd"])
    add("--layers", type=int, default=6)
    add("--width", type=int, default=384)
    add("--length", type=int, default=64, help="tokens a sample")
    add("--samples", type=int, default=64, help="on which moments are matched")
    add("--repeats", type=int, default=5)
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def classifier(options):
    backbone = keras_hub.models.BertBackbone(
        30522,
        options.layers,
        12,
        options.width,
        4 * options.width,
        max_sequence_length=options.length,
    )
    return keras_hub.models.BertTextClassifier(backbone, 2, preprocessor=None)


def tokens(options):
    shape = options.samples, options.length
    ids = np.random.default_rng(0).integers(1, 30522, shape)
    return {
        "token_ids": ids,
        "segment_ids": np.zeros(shape, "int32"),
        "padding_mask": np.ones(shape, bool),
    }


def timed(function, *arguments, **options):
    begin = time.perf_counter()
    result = function(*arguments, **options)
    return result, time.perf_counter() - begin


def one_round(options, folder):
    """Seconds of each operation."""
    x, seconds = tokens(options), {}
    soft, seconds["build"] = timed(classifier, options)
    file = folder / "soft.keras"
    _, seconds["save, soft"] = timed(soft.save, file)
    _, seconds["load, soft"] = timed(keras.models.load_model, file)
    _, seconds["predict, soft, first"] = timed(soft.predict, x, verbose=0)
    _, seconds["predict, soft"] = timed(soft.predict, x, verbose=0)
    aligned = classifier(options)
    _, seconds["align_model"] = timed(
        keras_align.align_model, aligned, options.alignment
    )
    _, seconds["match_moments"] = timed(keras_align.match_moments, aligned, x)
    file = folder / "aligned.keras"
    _, seconds["save, aligned"] = timed(aligned.save, file)
    _, seconds["load, aligned"] = timed(keras.models.load_model, file)
    _, seconds["predict, aligned, first"] = timed(aligned.predict, x, verbose=0)
    _, seconds["predict, aligned"] = timed(aligned.predict, x, verbose=0)
    keras.backend.clear_session()
    return seconds


def main(arguments=None):
    options = parse_arguments(arguments)
    with tempfile.TemporaryDirectory() as folder:
        one_round(options, pathlib.Path(folder))  # imports, first graphs
        rounds = [
            one_round(options, pathlib.Path(folder)) for _ in range(options.repeats)
        ]
    lines = [["operation", "s", "quartiles", "over soft"], ["---"] * 4]
    for name in rounds[0]:
        times = np.array([seconds[name] for seconds in rounds])
        low, high = np.quantile(times, [0.25, 0.75])
        ratio = ""
        if "aligned" in name:
            base = [each[name.replace("aligned", "soft")] for each in rounds]
            ratio = f"{np.median(times / base):.2f}"
        lines.append([name, f"{np.median(times):.2f}", f"{low:.2f}, {high:.2f}", ratio])
    text = results_file.table(lines)
    print(text)
    if options.output:
        results_file.put(text, options.output, "model_files.py")


if __name__ == "__main__":
    main()
