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
import report_page
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
        announce(task, settings, options)
        compared = Comparison(task, settings, options)
        for number, method in enumerate(options.methods):
            compared.run(method, number)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    text = tables.text(task, compared.runs, settings)
    print("\n" + text)
    compared.write(text)
    minutes = (time.perf_counter() - begin) / 60
    print(
        f"\nTable, page and pictures: {options.output}. It took {minutes:.1f} minutes."
    )


class Comparison:
    """All runs, and what the pictures and the page show of the first of each method.

    Args:
        task: A `sentences.Task`.
        settings: `finetuning.Settings`.
        options: What `parse_arguments` returned.
    """

    def __init__(self, task, settings, options):
        self.task, self.settings, self.options = task, settings, options
        self.runs, self.before, self.snapshots, self.examined = [], None, [], {}

    def run(self, method, number):
        """Fine-tunes for every seed by the method of this number."""
        options = self.options
        repeated = repeated_runs.RepeatedRuns(self.task, method, self.settings)
        self.model = repeated.model
        if number == 0:
            self.before = pictures.snapshot(self.model, self.task, self.settings)
            if len(options.methods) == 1:
                self._examine("before training")
        for seed in range(options.seeds):
            done, count = len(self.runs), len(options.methods) * options.seeds
            print(f"\n[{done + 1}/{count}] {method.title}, seed {seed}", flush=True)
            self.runs.append(repeated.run(seed))
            if seed == 0:
                self._keep(method, self.runs[-1])

    def _keep(self, method, run):
        self.snapshots.append(
            pictures.snapshot(self.model, self.task, self.settings, run["measure"])
        )
        if len(self.examined) < 2:
            self._examine(method.title)

    def _examine(self, title):
        self.examined[title] = report_page.examine(self.model, self.task, self.settings)

    def write(self, text):
        """Writes tables, pictures and the page."""
        folder = self.options.output
        tables.write(self.task, self.runs, folder)
        first = [run for run in self.runs if run["seed"] == 0]
        pictures.draw(first, self.before, self.snapshots, folder)
        report_page.write(
            self.model, self.task, self.examined, self.settings, text, folder
        )


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
