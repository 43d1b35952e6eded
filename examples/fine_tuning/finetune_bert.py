"""Fine-tunes BERT with soft and with alignment attention: does it help on my data?

    python examples/fine_tuning/finetune_bert.py

takes a pre-trained MiniLM BERT and movie reviews (both are downloaded once), and
fine-tunes the model as it is and with alignment attention, three times each, in pairs
that share the seed. All are tested on held-out movie reviews, plain and with typing
errors, and, to see how they take to text from elsewhere, on Amazon reviews, New York
Times editorials and tweets. It prints one table with the paired differences, says in
words what they show, and writes all of it, with pictures, into `--output`.

    python examples/fine_tuning/finetune_bert.py --alignment mmd --seeds 5
    python examples/fine_tuning/finetune_bert.py --compare soft,label_smoothing,ct,mmd
    python examples/fine_tuning/finetune_bert.py --task MRPC --data-dir glue --epochs 3
    python examples/fine_tuning/finetune_bert.py --data reviews.csv \
        --out-of-domain tweets.csv
"""

import argparse
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import command_line
import estimating
import fetching
import freed_memory
import methods
import pictures
import repeated_runs
import tables
import typos


def parse_arguments(arguments=None):
    """Returns the options of the command line, `methods` among them."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    compared = f"methods; the first is the baseline; of {', '.join(methods.METHODS)}"
    add("--compare", metavar="NAME,NAME,...", help=compared)
    choices = (*methods.ALIGNMENTS, "none")
    add("--alignment", choices=choices, help="short for --compare soft,...; None: ct")
    command_line.add_comparison_options(add, seeds=3)
    add("--output", type=pathlib.Path, default="finetune_bert_results")
    options = parser.parse_args(arguments)
    command_line.check_options(parser, options)
    options.methods = command_line.choose_methods(parser, options)
    return options


def main(arguments=None):
    """Runs the comparison that the command line asks for."""
    begin = time.perf_counter()
    options = parse_arguments(arguments)
    freed_memory.keep()
    try:
        task = typos.with_typos(command_line.load_task(options))
        settings = command_line.choose_settings(options, task)
        options.output.mkdir(parents=True, exist_ok=True)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    announce(task, settings, options)
    runs, before, snapshots = compare(task, settings, options)
    print("\n" + tables.text(task, runs, settings))
    tables.write(task, runs, options.output)
    first = [run for run in runs if run["seed"] == 0]
    pictures.draw(first, before, snapshots, options.output)
    minutes = (time.perf_counter() - begin) / 60
    print(f"\nTable and pictures: {options.output}. It took {minutes:.1f} minutes.")


def compare(task, settings, options):
    """Returns all runs, and the `Snapshot`s before and after the first run of each."""
    runs, before, snapshots = [], None, []
    count = len(options.methods) * options.seeds
    for method in options.methods:
        repeated = repeated_runs.RepeatedRuns(task, method, settings)
        before = before or pictures.snapshot(repeated.model, task, settings)
        for seed in range(options.seeds):
            number = f"[{len(runs) + 1}/{count}]"
            print(f"\n{number} {method.title}, seed {seed}", flush=True)
            runs.append(repeated.run(seed))
            if seed == 0:
                measure = runs[-1]["measure"]
                snapshots.append(
                    pictures.snapshot(repeated.model, task, settings, measure)
                )
    return runs, before, snapshots


def announce(task, settings, options):
    """Says what is going to happen and how long it will take."""
    count, seeds = len(options.methods), options.seeds
    train_size = len(settings.sentences(task))
    tests = ", ".join(f"{len(s)} {name}" for name, s in task.tests.items())
    minutes = estimating.estimate_seconds(task, settings, count, seeds) / 60
    print(
        f"{task.name}: fine-tuning {count * seeds} times ({count} method(s), {seeds} "
        f"seed(s)) on {train_size} sentences of up to {settings.sequence_length} "
        f"tokens, {settings.epochs} epoch(s), learning rate "
        f"{settings.learning_rate:g}.\nTests: {tests}.\n"
        f"This will take about {max(minutes, 1):.0f} minutes.",
        flush=True,
    )


if __name__ == "__main__":
    main()
