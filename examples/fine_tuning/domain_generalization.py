"""Trains BERT in one domain and tests it in others: accuracy, and can it be trusted?

    python examples/fine_tuning/domain_generalization.py

fine-tunes a pre-trained MiniLM BERT on movie reviews (both are downloaded once) with
soft attention, with label smoothing and with alignment attention, in pairs that share
the seed, and tests on movie reviews, Amazon reviews, New York Times editorials and
tweets: accuracy, expected calibration error, negative log-likelihood and Brier score,
before and after temperature scaling on held-out movie reviews. Temperature scaling
tends to help where it was fitted, label smoothing elsewhere (Desai & Durrett, 2020).

Your own files, tab-separated, or comma-separated as `.csv`, with the columns of those
of GLUE or SNLI, or, for multiple choice, `sent` (`startphrase` in SWAG's files),
`ending0` to `ending3` and `label`, a number from 0 to 3:

    python examples/fine_tuning/domain_generalization.py --name SNLI \
        --train snli_1.0_train.txt --dev snli_1.0_dev.txt \
        --other MNLI=dev_matched.tsv --train-size 10000
    python examples/fine_tuning/domain_generalization.py --name CODAH \
        --train full.tsv --folds folds.json

`--labels 0=negative,1=positive` says which classes of training the labels of `--other`
are, where they differ. With `--folds` each seed has a fold of its own; rows of
`--train` are numbered from 0. Settings for files are by default those of the paper for
BERT; a smaller model takes higher learning rates. For movie reviews they suit MiniLM on
2 CPU cores: 1,024 reviews, two epochs. Every run is a row of `runs.csv` in `--output`;
runs that are there are not repeated.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import command_line
import domains
import estimating
import fetching
import finetuning
import freed_memory
import glue_tasks
import kept_runs
import multiple_choice
import repeated_runs
import sentences

PAPER = glue_tasks.Regime(2e-5, 32, 3, 0.1, dropout=0.1)
SHORT = glue_tasks.Regime(2e-4, 16, 2, 0.1, dropout=0.1)  # of movie reviews
REVIEWS, TESTED = 1024, 250
CLIP_NORM = 1.0
MOVIES = "movies"


def parse_arguments(arguments=None):
    """Returns the options of the command line, `methods` among them."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, command_line.positive
    add("--name", default=MOVIES, help="of the domain of --train")
    add("--train", type=pathlib.Path, metavar="FILE", help="None: movie reviews")
    add("--dev", type=pathlib.Path, metavar="FILE", help="half of it is tested on")
    other = "another domain to test on"
    add("--other", action="append", default=[], metavar="NAME=FILE", help=other)
    command_line.add_labels(add, "--other")
    folds = 'JSON {"0": {"train": [row, ...], "dev": ..., "test": ...}, ...} of --train'
    add("--folds", type=pathlib.Path, metavar="FILE", help=folds)
    command_line.add_methods(add, seeds=5, compared="soft,label_smoothing,ct")
    command_line.add_execution(add, length_buckets=1)
    size = "sentences trained on; None: all, or 1024 movie reviews"
    add("--train-size", type=positive, help=size)
    tested = "most per test set; None: all, or 250 of movie reviews"
    add("--test-size", type=positive, help=tested)
    add("--sequence-length", type=positive, help="tokens; None: holds 99%% whole")
    command_line.add_paper_regime(add)
    add("--output", type=pathlib.Path, default="domain_generalization_results")
    options = parser.parse_args(arguments)
    options.methods = command_line.choose_methods(parser, options)
    command_line.check_training(parser, options)
    check_files(parser, options)
    return options


def check_files(parser, options):
    """Refuses files that make no task; makes `other` a dictionary."""
    pairs = [each.partition("=") for each in options.other]
    if not all(name and file for name, _, file in pairs):
        parser.error(f"--other takes NAME=FILE, not {options.other}")
    names = [options.name, *(name for name, _, _ in pairs)]
    if len(set(names)) < len(names):
        parser.error(f"--name and --other take different names, not {names}")
    options.other = {name: pathlib.Path(file) for name, _, file in pairs}
    if options.labels and not pairs:
        parser.error("--labels needs --other, the files that have them")
    given = bool(options.dev) + bool(options.folds)
    if given != bool(options.train) or (options.other and not options.dev):
        parser.error(
            "--train takes either --dev, with or without --other, or --folds; without "
            "--train the domains are those of the movie reviews"
        )


def load_task(options, seed=0):
    """Returns the `sentences.Task` of a seed."""
    size = options.test_size
    if options.folds:
        return domains.fold(options.name, options.train, options.folds, seed, size)
    if options.train:
        files = options.train, options.dev, options.other
        return domains.task(options.name, *files, size, options.labels)
    task = sentences.rated_sentences(fetching.rated_sentences(), size or TESTED)
    few = task.validation.first(size or TESTED)
    return dataclasses.replace(task, validation=few)


def choose_settings(task, options):
    """Returns the `finetuning.Settings` for a task."""
    computed, length = command_line.execution(options), options.sequence_length
    if is_choice(task):
        pairs = domains.as_pairs(task.train)
        measured = dataclasses.replace(task, train=pairs.split(0)[1])
    else:
        measured = task
    return finetuning.Settings(
        **computed,
        sequence_length=length
        or finetuning.suitable_length(measured, computed["preset"], share=0.99),
        train_size=options.train_size or (None if options.train else REVIEWS),
        weight_decay=0.0,
        clip_norm=CLIP_NORM,
        **command_line.paper_regime(options, vars(PAPER if options.train else SHORT)),
    )


def is_choice(task):
    """Returns whether texts are a beginning and several endings."""
    return len(task.train.columns) > 2


def main(arguments=None):
    """Runs the comparison that the command line asks for."""
    options, begin = parse_arguments(arguments), time.perf_counter()
    freed_memory.keep()
    try:
        task = load_task(options)
        settings = choose_settings(task, options)
        options.output.mkdir(parents=True, exist_ok=True)
        runs = kept_runs.open_runs(options.output / "runs.csv")
        estimating.announce(task, settings, len(options.methods), options.seeds)
        new = repeated_runs.RepeatedRuns
        if is_choice(task):
            new = multiple_choice.ChoiceRuns
        of_seed = None
        if options.folds:
            folds = [load_task(options, seed) for seed in range(options.seeds)]
            of_seed = folds.__getitem__
        found = kept_runs.compare(
            task, options.methods, settings, options.seeds, runs, new, of_seed
        )
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    kept_runs.write([found], options.output, begin)


if __name__ == "__main__":
    main()
