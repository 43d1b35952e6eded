"""Fine-tunes BERT with soft and with alignment attention, and compares the two.

    python examples/fine_tuning/finetune_bert.py

takes a pre-trained MiniLM BERT and movie reviews (both are downloaded once), and
fine-tunes the model twice from the same start: once as it is, once converted by
`keras_align.align_model`. Both are tested on held-out movie reviews and, to see how
they take to text from elsewhere, on Amazon reviews, New York Times editorials and
tweets. It prints one table and writes it, with pictures, into `--output`.

    python examples/fine_tuning/finetune_bert.py --alignment gan --seeds 5
    python examples/fine_tuning/finetune_bert.py --task MRPC --data-dir glue --epochs 3
    python examples/fine_tuning/finetune_bert.py --data reviews.csv
"""

import argparse
import dataclasses
import math
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import estimating
import fetching
import finetuning
import glue
import keras
import pictures
import sentences
import tables

ALIGNMENTS = ("ct", "gan", "ot", "mmd", "none")


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--alignment", choices=ALIGNMENTS, default="ct", help="how to align")
    add("--weight", type=float, help="of the alignment loss; None: the library's own")
    add("--task", choices=["movies", *glue.TASKS], default="movies")
    add("--data-dir", type=pathlib.Path, help="folder of the GLUE task's files")
    add_training_options(add)
    add("--seeds", type=positive, default=1, help="repetitions")
    add("--sequence-length", type=positive, help="tokens; None: suits the sentences")
    add("--output", type=pathlib.Path, default="finetune_bert_results")
    options = parser.parse_args(arguments)
    check_options(parser, options)
    return options


def add_training_options(add):
    """Adds to a parser what says how a classifier is trained, and on what."""
    add("--data", type=pathlib.Path, help="your own CSV file: columns text, label")
    add("--preset", help="keras-nlp preset or local folder; None: MiniLM")
    add("--precision", default="float32", help="dtype policy, as mixed_bfloat16")
    add("--train-size", type=positive, default=1280, help="sentences trained on")
    add("--test-size", type=positive, default=400, help="most per test set")
    add("--epochs", type=positive, default=1)
    add("--batch-size", type=positive, default=32)
    add("--learning-rate", type=float, default=1e-4, help="falls linearly to zero")


def positive(text):
    """Reads a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, not {text!r}")
    return int(text)


def check_options(parser, options):
    """Refuses what cannot work before anything is fetched or computed."""
    if options.data and options.task != "movies":
        parser.error("--data defines a task of its own: leave out --task")
    if options.task != "movies" and not options.data_dir:
        parser.error(
            f"--task {options.task} needs --data-dir, the folder of the files of "
            "the GLUE benchmark (gluebenchmark.com/tasks)"
        )
    if not 0 < options.learning_rate < math.inf:
        parser.error(f"--learning-rate must be positive, not {options.learning_rate}")
    if options.weight is not None and not 0 <= options.weight < math.inf:
        parser.error(f"--weight must be a number >= 0, not {options.weight}")
    try:
        keras.dtype_policies.get(options.precision)
    except (ValueError, TypeError):
        parser.error(f"--precision must be a dtype policy, not {options.precision!r}")


def load_task(options):
    """Returns the `sentences.Task` that the options name."""
    if options.data:
        task = sentences.own_sentences(options.data, options.test_size)
    elif options.task != "movies":
        task = glue.glue_task(options.task, options.data_dir, options.test_size)
    else:
        folder = fetching.rated_sentences()
        task = sentences.rated_sentences(folder, options.test_size)
    few = task.validation.first(options.test_size)  # it is watched, nothing is chosen
    return dataclasses.replace(task, validation=few)


def choose_settings(options, task):
    """Returns the `finetuning.Settings` that the options name."""
    preset = options.preset or fetching.minilm()
    length = options.sequence_length
    return finetuning.Settings(
        preset=preset,
        precision=options.precision,
        sequence_length=length or finetuning.suitable_length(task, preset),
        train_size=options.train_size,
        batch_size=options.batch_size,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        verbose=1 if sys.stdout.isatty() else 2,
    )


def main(arguments=None):
    """Runs the comparison that the command line asks for."""
    begin = time.perf_counter()
    options = parse_arguments(arguments)
    try:
        task = load_task(options)
        settings = choose_settings(options, task)
        options.output.mkdir(parents=True, exist_ok=True)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    attentions = [None] if options.alignment == "none" else [None, options.alignment]
    announce(task, settings, len(attentions) * options.seeds)
    runs = []
    for seed in range(options.seeds):
        for alignment in attentions:
            number = f"[{len(runs) + 1}/{len(attentions) * options.seeds}]"
            print(f"\n{number} {tables.name(alignment)}, seed {seed}", flush=True)
            run = finetuning.run_one(task, alignment, seed, settings, options.weight)
            if seed > 0:
                del run["model"]  # the pictures show the first seed
            runs.append(run)
    print("\n" + tables.text(task, runs, settings))
    tables.write(task, runs, options.output)
    pictures.draw(task, runs[: len(attentions)], settings, options.output)
    minutes = (time.perf_counter() - begin) / 60
    print(f"\nTable and pictures: {options.output}. It took {minutes:.1f} minutes.")


def announce(task, settings, count):
    """Says what is going to happen and how long it will take."""
    train_size = min(settings.train_size, len(task.train))
    tests = ", ".join(f"{len(s)} {name}" for name, s in task.tests.items())
    minutes = estimating.estimate_seconds(task, settings, count) / 60
    print(
        f"{task.name}: fine-tuning {count} times on {train_size} sentences of up to "
        f"{settings.sequence_length} tokens, {settings.epochs} epoch(s), learning "
        f"rate {settings.learning_rate:g}.\nTests: {tests}.\n"
        f"This will take about {max(minutes, 1):.0f} minutes.",
        flush=True,
    )


if __name__ == "__main__":
    main()
