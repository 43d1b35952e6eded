"""Accuracy, calibration and alignment after fine-tuning, over methods and seeds.

Fine-tunes the pre-trained BERT of `examples/fine_tuning/finetune_bert.py` on movie
reviews with each method, and tests it on other movie reviews, plain and with typing
errors, and on Amazon reviews, New York Times editorials and tweets. Runs of one seed
share the new head, the order of the sentences and the dropout, so differences to soft
attention are paired.

    python benchmarks/fine_tuning.py
    python benchmarks/fine_tuning.py --methods soft ct --weight 0.1 --seeds 20

Each model is built and traced once for all seeds. Every run is a row of the file
`--output`, with its settings; runs that are there already are not repeated, so a
benchmark that was stopped goes on where it was, and several processes can share the
methods of one file, which must not outlive a change of the code. The tables at the end
are those of the whole file, one pair for each regime.
"""

import argparse
import contextlib
import csv
import dataclasses
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "examples" / "fine_tuning")]

import command_line
import fetching
import fine_tuning_tables
import finetuning
import freed_memory
import keras
import methods
import repeated_runs
import sentences
import typos

OUTPUT = ROOT / "benchmarks" / "results" / "fine_tuning.csv"
REGIME = ("train_size", "test_size", "epochs", "batch_size", "sequence_length")
REGIME += ("learning_rate", "warm_up", "backend", "device")
KEY = ("method", "weight", "matched", "options", "seed", *REGIME)
SCORES = ("accuracy", "ece", "nll", "scaled_ece", "scaled_nll")
TESTS = (*sentences.DOMAINS, "movies" + typos.SUFFIX)
OF_RUN = ("temperature", "mmd", "alignment_loss")
OF_RUN += ("cpu_seconds_per_step", "seconds_per_step")
COLUMNS = (*KEY, *(f"{test} {key}" for test in TESTS for key in SCORES), *OF_RUN)


def device():
    """Returns what models run on, "cpu", "gpu" or "tpu"."""
    if keras.backend.backend() == "torch":
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    return keras.distribution.list_devices()[0].partition(":")[0].lower()


def key_of(method, seed, settings, test_size):
    """Returns what names a run: the first columns of its row, as strings."""
    named = {
        "method": method.name,
        "weight": method.alignment_weight,
        "matched": method.matched or "",
        "options": method.options,
        "seed": seed,
        "test_size": test_size,
        "backend": keras.backend.backend(),
        "device": device(),
    }
    regime = dataclasses.asdict(settings)
    return tuple(str(named.get(column, regime.get(column))) for column in KEY)


def row_of(run):
    """Returns the numbers of a run as a dictionary, rounded to five digits."""
    numbers = {
        f"{test} {key}": found[key]
        for test, found in run["tests"].items()
        for key in SCORES
    }
    numbers["mmd"] = run["measure"].total
    numbers |= {key: run[key] for key in OF_RUN if key in run}
    return {name: f"{number:.5g}" for name, number in numbers.items()}


def read(file):
    """Returns a dictionary from the keys of the runs in a file to their rows."""
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            sys.exit(f"error: {file} has other columns than this benchmark writes")
        return {tuple(row[column] for column in KEY): row for row in reader}


def append(file, key, row):
    """Adds a run to a file, which is made if there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        empty = pathlib.Path(folder, "empty")
        empty.write_text(",".join(COLUMNS) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(empty, file)  # never seen without its first line
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writerow(dict(zip(KEY, key, strict=True)) | row)


def run_missing(task, method, settings, arguments):
    """Runs what is not in the file yet; builds the model only if there is something."""
    repeated = None
    for seed in range(arguments.seeds):
        key = key_of(method, seed, settings, arguments.test_size)
        if key in read(arguments.output):
            continue
        if repeated is None:
            repeated = repeated_runs.RepeatedRuns(task, method, settings)
        row = row_of(repeated.run(seed))
        append(arguments.output, key, row)
        print(f"{method.title}, seed {seed}: {row}", flush=True)


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, command_line.positive
    names = [name for name, each in methods.METHODS.items() if each.trained]
    default = [name for name in names if name not in methods.OTHER_REACH]
    add("--methods", nargs="+", choices=names, default=default, metavar="NAME")
    add("--weight", type=float, help="of the alignment loss; None: the library's own")
    add("--matched", choices=["mean", "covariance", "none"], help="of the alignments")
    add("--seeds", type=positive, default=8)
    command_line.add_regime(add)
    length = command_line.TOKENS_OF_REVIEWS
    add("--sequence-length", type=positive, default=length, help="tokens")
    add("--no-jit", action="store_true", help="compile without XLA")
    add("--output", type=pathlib.Path, default=OUTPUT, help="a CSV file")
    options = parser.parse_args(arguments)
    command_line.check_regime(parser, options)
    command_line.check_weight(parser, options)
    return options


def choose_method(name, arguments):
    """Returns the `methods.Method` of a name, as the options change it."""
    method = methods.METHODS[name].with_weight(arguments.weight)
    if arguments.matched is None or method.alignment is None:
        return method
    matched = None if arguments.matched == "none" else arguments.matched
    return dataclasses.replace(method, matched=matched)


def main(arguments=None):
    """Runs what is missing and prints the tables of the whole file."""
    arguments = parse_arguments(arguments)
    read(arguments.output)
    freed_memory.keep()
    size = arguments.test_size
    task = sentences.rated_sentences(fetching.rated_sentences(), size)
    few = task.validation.first(size)
    task = typos.with_typos(dataclasses.replace(task, validation=few))
    options = set(REGIME) - {"test_size", "backend", "device"}
    settings = finetuning.Settings(
        fetching.minilm(),
        **{name: getattr(arguments, name) for name in options},
        jit_compile=not arguments.no_jit,
        verbose=0,
    )
    for name in arguments.methods:
        run_missing(task, choose_method(name, arguments), settings, arguments)
    rows = list(read(arguments.output).values())
    print(fine_tuning_tables.text(rows, REGIME))


if __name__ == "__main__":
    main()
