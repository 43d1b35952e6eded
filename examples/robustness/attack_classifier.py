"""Attacks classifiers with soft and with alignment attention, in pairs.

    python examples/robustness/attack_classifier.py

fine-tunes a pre-trained MiniLM BERT on movie reviews (both are downloaded once), as it
is and with alignment attention, in pairs that share the seed, and attacks each on test
reviews that it is right about: by edits of characters, and with `--neighbors` by swaps
of words. It prints a table with the paired differences and their 95% intervals. Every
attacked review is kept in `--output`; what is in its `runs.csv` is not made again.

    python examples/robustness/attack_classifier.py --compare soft,ct,mmd --seeds 3 \
        --neighbors counterfitted_neighbors.json.gz
"""

import argparse
import functools
import gzip
import json
import pathlib
import sys
import time

EXAMPLES = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import quiet_tensorflow

quiet_tensorflow.load()

import command_line
import comparing
import fetching
import finetune_bert
import freed_memory
import methods
import repeated_runs
import runs_file

from keras_align import robustness

WORDS = "words"
MOST_CHANGED = 0.3  # of the words of a text
KEY = ("task", "method", "weight", "settings", "attack", "attacked", "seed")
TITLES = {
    "accuracy": "accuracy, %",
    "accuracy_under_attack": "accuracy under attack, %",
    "failed_attacks": "failed attacks, %",
    "queries": "queries of an attack",
}
Runs = functools.partial(runs_file.Runs, key=KEY, of_run=tuple(TITLES))


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, command_line.positive
    add("--compare", default="soft,ct", help=f"of {', '.join(methods.METHODS)}")
    command_line.add_comparison_options(add, seeds=1)
    add("--attacked", type=positive, default=100, help="texts of the test, at most")
    add("--neighbors", type=pathlib.Path, help="JSON of words and lists of words")
    add("--output", type=pathlib.Path, default="attack_classifier_results")
    options = parser.parse_args(arguments)
    command_line.check_options(parser, options)
    options.methods = finetune_bert.choose_methods(parser, options)
    return options


def main(arguments=None):
    options, begin = parse_arguments(arguments), time.perf_counter()
    freed_memory.keep()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        runs = Runs(options.output / "runs.csv")
        attacks = load_attacks(options.neighbors)
        task = command_line.load_task(options)
        settings = command_line.choose_settings(options, task)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    rows = {name: {} for name in attacks}
    for method in options.methods:
        found = compare(task, method, settings, attacks, runs, options)
        for name, of_attack in found.items():
            rows[name][method.title] = of_attack
    lines = [
        (key, title, *((1.0, 0) if key == "queries" else (100.0, 1)))
        for key, title in TITLES.items()
    ]
    tables = [f"{name}\n{comparing.table(rows[name], lines)}" for name in attacks]
    text = "\n\n".join(tables)
    print(f"\n{text}\n")
    (options.output / "table.txt").write_text(text + "\n", encoding="utf-8")
    minutes = (time.perf_counter() - begin) / 60
    print(f"Table and attacked texts: {options.output}. {minutes:.1f} minutes.")


def load_attacks(neighbors):
    """Returns the attacks by name, of words if there is a file of neighbours."""
    attacks = {"characters": robustness.CharacterAttack(max_perturbed=MOST_CHANGED)}
    if neighbors is not None:
        opened = gzip.open if neighbors.suffix == ".gz" else open
        with opened(neighbors, "rt", encoding="utf-8") as stream:
            near = json.load(stream)
        if not isinstance(near, dict):
            raise ValueError(f"{neighbors} must map words to lists of words")
        attacks[WORDS] = robustness.WordSwapAttack(near, max_perturbed=MOST_CHANGED)
    return attacks


def compare(task, method, settings, attacks, runs, options):
    """Returns the rows of one method by the name of the attack."""
    trained, rows = None, {name: [] for name in attacks}
    for seed in range(options.seeds):
        keys = {
            name: key_of(task, method, settings, name, seed, options)
            for name in attacks
        }
        missing = [name for name, key in keys.items() if runs.find(key) is None]
        if missing:
            trained = trained or repeated_runs.RepeatedRuns(task, method, settings)
            trained.reset(seed)
            trained.train(seed)
        for name in missing:
            print(f"{method.title}, seed {seed}, {name}", flush=True)
            log = options.output / f"{method.name}_{name}_{seed}.jsonl"
            log.unlink(missing_ok=True)  # of a network that was trained before
            found = attack(trained.model, task, attacks[name], log, options.attacked)
            runs.add(keys[name], {key: getattr(found, key) for key in TITLES})
        for name, key in keys.items():
            rows[name].append(runs.find(key))
    return rows


def key_of(task, method, settings, attack, seed, options):
    """Returns what names a run: the first columns of its row."""
    if attack == WORDS:
        attack = f"{WORDS} of {options.neighbors.name}"
    values = (task.name, method.name, method.alignment_weight, settings)
    return dict(zip(KEY, (*values, attack, options.attacked, seed), strict=True))


def attack(model, task, attack, log, count):
    """Returns the `Robustness` of a classifier on the first texts of the test."""
    sentences = next(iter(task.tests.values())).first(count)
    columns = sentences.columns
    texts = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return robustness.measure_robustness(
        model, texts, sentences.labels, attack, log=log, verbose=sys.stdout.isatty()
    )


if __name__ == "__main__":
    main()
