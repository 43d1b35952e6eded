"""Fine-tunes BERT to find answers in texts, with soft and with alignment attention.

    python examples/question_answering/squad.py --data-dir squad

reads the official files of SQuAD v1.1 (train-v1.1.json, dev-v1.1.json; plain or with
`.gz`), fine-tunes a pre-trained MiniLM BERT, or any other `--preset`, with every method
of `--compare`, in pairs that share the seed, and tests on the development set by exact
match and F1. Long texts are cut into windows. Settings are by default those with which
the paper fine-tunes ALBERT. With `--version 2.0` also questions without an answer are
trained on and tested, with the threshold 0 and with the best ones; and with
`--also-test dev-v2.0.json` a model of version 1.1 is tested on them as well.

    python examples/question_answering/squad.py --data-dir squad --train-size 10000 \
        --learning-rate 2e-4 --batch-size 16 --epochs 1 --compare untrained,soft,ct

Every run is a row of `runs.csv` in `--output`; runs that are there are not repeated.
"""

import argparse
import pathlib
import sys
import time

EXAMPLES = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import quiet_tensorflow

quiet_tensorflow.load()

import command_line
import fetching
import finetuning
import freed_memory
import glue_tasks
import kept_runs
import span_runs
import squad_data

# Learning rate, batch, epochs (steps of all questions) and warm-up of the paper.
REGIMES = {
    "1.1": glue_tasks.Regime(5e-5, 48, 2, 365 / 3649),
    "2.0": glue_tasks.Regime(3e-5, 48, 3, 814 / 8144),
}


def parse_arguments(arguments=None):
    """Returns the options of the command line, `methods` among them."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, command_line.positive
    add("--data-dir", type=pathlib.Path, required=True, help="with the official files")
    add("--version", choices=list(REGIMES), default="1.1")
    other = "another file of the folder to test on"
    add("--also-test", action="append", default=[], metavar="FILE.json", help=other)
    command_line.add_methods(add, seeds=1)
    command_line.add_execution(add)
    add("--train-size", type=positive, help="questions trained on; None: all")
    add("--test-size", type=positive, help="questions of a test; None: all")
    add("--sequence-length", type=positive, default=384, help="tokens of a window")
    add("--stride", type=positive, default=128, help="tokens between windows")
    command_line.add_paper_regime(add)
    add("--output", type=pathlib.Path, default="squad_results")
    options = parser.parse_args(arguments)
    options.methods = command_line.choose_methods(parser, options)
    command_line.check_training(parser, options)
    if any(method.label_smoothing for method in options.methods):
        parser.error("--compare: label smoothing is for classes, not for answers")
    return options


def load_task(options):
    """Returns the `span_runs.SpanTask` that the options name."""
    version, folder = options.version, options.data_dir
    train = squad_data.read(
        squad_data.find(folder, f"train-v{version}.json"), options.train_size
    )
    tests = {
        file: squad_data.read(squad_data.find(folder, file), options.test_size)
        for file in (f"dev-v{version}.json", *options.also_test)
    }
    return span_runs.SpanTask(f"SQuAD v{version}", train, tests, options.stride)


def choose_settings(options):
    """Returns the `finetuning.Settings` that the options name."""
    regime = vars(REGIMES[options.version])
    return finetuning.Settings(
        **command_line.execution(options),
        sequence_length=options.sequence_length,
        train_size=options.train_size,
        **command_line.paper_regime(options, regime),
    )


def main(arguments=None):
    """Runs the comparison that the command line asks for."""
    options, begin = parse_arguments(arguments), time.perf_counter()
    freed_memory.keep()
    try:
        task = load_task(options)
        settings = choose_settings(options)
        options.output.mkdir(parents=True, exist_ok=True)
        runs = kept_runs.open_runs(options.output / "runs.csv")
        print(f"{task.name}: {len(task.train)} questions", flush=True)
        found = kept_runs.compare(
            task, options.methods, settings, options.seeds, runs, span_runs.SpanRuns
        )
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    kept_runs.write([found], options.output, begin)


if __name__ == "__main__":
    main()
