"""Attacks classifiers with soft and with alignment attention, in pairs.

    python examples/robustness/attack_classifier.py

fine-tunes a pre-trained MiniLM BERT on movie reviews (both are downloaded once), as it
is and with alignment attention, in pairs that share the seed, and attacks each on test
reviews that it is right about: by edits of characters, and with `--neighbors` by swaps
of words. It prints a table with the paired differences and their 95% intervals. Every
attacked review is kept in `--output`; what is in its `runs.csv` is not made again. With
`--also-test` the models are tested on sets that people have made hard, too, AdvGLUE or
counterfactual reviews; `--labels` says which classes their labels are.

    python examples/robustness/attack_classifier.py --compare soft,ct,mmd --seeds 3 \
        --neighbors counterfitted_neighbors.json.gz
    python examples/robustness/attack_classifier.py --task SST-2 --data-dir glue \
        --also-test advglue_dev.json
    python examples/robustness/attack_classifier.py --also-test revised_test.tsv \
        --labels 0=negative,1=positive
"""

import argparse
import dataclasses
import functools
import pathlib
import sys
import time

EXAMPLES = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import quiet_tensorflow

quiet_tensorflow.load()

import attacks_by_people
import command_line
import comparing
import fetching
import finetuning
import freed_memory
import kept_runs
import keras
import methods
import numpy as np
import repeated_runs
import runs_file
import sentences
import text_files

from keras_align import robustness

MOST_CHANGED = 0.3  # of the words of a text
KEY = ("task", "method", "weight", "options", "settings", "attack", "attacked")
KEY += ("data", "backend", "seed")
TITLES = {
    "accuracy": "accuracy, %",
    "accuracy_under_attack": "accuracy under attack, %",
    "failed_attacks": "failed attacks, %",
    "queries": "queries of an attack",
}
Runs = functools.partial(runs_file.Runs, key=KEY, of_run=tuple(TITLES))


@dataclasses.dataclass(frozen=True)
class Measure:
    """An attack on a trained model, or a test of it.

    Args:
        name: String.
        data: String, a digest of what it was trained on and is tested on.
        of: Callable from a model and the path of a log to a dictionary of numbers.
    """

    name: str
    data: str
    of: object


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
    near = "of word swaps to the text, by the pre-trained model; None: no limit"
    add("--min-similarity", type=float, help=near)
    made = "AdvGLUE's JSON file, or a tab-separated one as of GLUE"
    add("--also-test", type=pathlib.Path, action="append", default=[], help=made)
    command_line.add_labels(add, "--also-test")
    add("--output", type=pathlib.Path, default="attack_classifier_results")
    options = parser.parse_args(arguments)
    command_line.check_options(parser, options)
    least = options.min_similarity
    if least is not None and not (options.neighbors and 0 <= least <= 1):
        parser.error("--min-similarity is in [0, 1], of the swaps of --neighbors")
    if options.labels and not options.also_test:
        parser.error("--labels needs --also-test, the files that have them")
    names = [file.name for file in options.also_test]
    if len(set(names)) < len(names):
        parser.error(f"--also-test takes files of different names, not {names}")
    options.methods = command_line.choose_methods(parser, options)
    return options


def main(arguments=None):
    options, begin = parse_arguments(arguments), time.perf_counter()
    freed_memory.keep()
    try:
        rows = run(options)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    lines = [
        (key, title, *((1.0, 0) if key == "queries" else (100.0, 1)))
        for key, title in TITLES.items()
    ]
    tables = [f"{name}\n{comparing.table(rows[name], lines)}" for name in rows]
    text = "\n\n".join(tables)
    print(f"\n{text}\n")
    (options.output / "table.txt").write_text(text + "\n", encoding="utf-8")
    minutes = (time.perf_counter() - begin) / 60
    print(f"Table and attacked texts: {options.output}. {minutes:.1f} minutes.")


def run(options):
    """Returns the rows of all methods, by names of measures and titles of methods."""
    options.output.mkdir(parents=True, exist_ok=True)
    runs = Runs(options.output / "runs.csv")
    task = command_line.load_task(options)
    settings = command_line.choose_settings(options, task)
    attacks = load_attacks(options.neighbors, options.min_similarity, settings)
    measures = [
        attacking(task, attack, name, options.attacked)
        for name, attack in attacks.items()
    ]
    measures += [testing(task, file, options.labels) for file in options.also_test]
    rows = {measure.name: {} for measure in measures}
    for method in options.methods:
        found = compare(task, method, settings, measures, runs, options)
        for name, of_attack in found.items():
            rows[name][method.title] = of_attack
    return rows


def load_attacks(neighbors, min_similarity=None, settings=None):
    """Returns the attacks by name, of words if there is a file of neighbours."""
    attacks = {"characters": robustness.CharacterAttack(max_perturbed=MOST_CHANGED)}
    if neighbors is None:
        return attacks
    near = text_files.read_json(neighbors, dict)
    limits = {"max_perturbed": MOST_CHANGED}
    if min_similarity is not None:
        limits["min_similarity"] = min_similarity
        limits["similarity"] = similarity(settings)
    name = f"words of {neighbors.name}"
    if min_similarity is not None:
        name += f", similarity {min_similarity:g}"
    try:
        attacks[name] = robustness.WordSwapAttack(near, **limits)
    except TypeError as error:
        raise ValueError(f"{neighbors}: {error}") from error
    return attacks


def similarity(settings):
    """Returns that of texts to the backbone before it is fine-tuned."""
    model = finetuning.build(settings, num_classes=2, seed=0)
    return robustness.EncoderSimilarity.from_backbone(
        model.backbone, model.preprocessor
    )


def compare(task, method, settings, measures, runs, options):
    """Returns the rows of one method by the names of the measures.

    Args:
        task: `sentences.Task`.
        method: `methods.Method`.
        settings: `finetuning.Settings`.
        measures: List of `Measure`s.
        runs: `Runs`.
        options: Those of the command line.
    """
    trained, rows = None, {measure.name: [] for measure in measures}
    for seed in range(options.seeds):
        keys = [key_of(task, method, settings, x, seed, options) for x in measures]
        pairs = list(zip(keys, measures, strict=True))
        missing = [(key, x) for key, x in pairs if runs.find(key) is None]
        if missing:
            trained = trained or repeated_runs.RepeatedRuns(task, method, settings)
            trained.reset(seed)
            trained.train(seed)
        for key, measure in missing:
            print(f"{method.title}, seed {seed}, {measure.name}", flush=True)
            log = options.output / f"{sentences.digest(key)}.jsonl"
            log.unlink(missing_ok=True)  # of a run that was interrupted
            runs.add(key, measure.of(trained.model, log))
        for key, measure in pairs:
            rows[measure.name].append(runs.find(key))
    return rows


def key_of(task, method, settings, measure, seed, options):
    """Returns what names a run: the first columns of its row."""
    described = kept_runs.described(settings)
    values = (task.name, method.name, method.alignment_weight, method.options)
    values += (described, measure.name, options.attacked, measure.data)
    values += (keras.backend.backend(), seed)
    return dict(zip(KEY, values, strict=True))


def attacking(task, attack, name, count):
    """Returns the `Measure` of an attack on the first texts of the test."""
    attacked = next(iter(task.tests.values())).first(count)
    texts, labels = attacks_by_people.texts_of(attacked), attacked.labels

    def measure(model, log):
        show = sys.stdout.isatty()
        if not np.isfinite(robustness.KerasModelWrapper(model)(texts[:1])).all():
            return {}  # training has diverged
        found = robustness.measure_robustness(
            model, texts, labels, attack, log=log, verbose=show
        )
        return {key: getattr(found, key) for key in TITLES}

    data = sentences.digest([task.digest, attack.settings()])
    return Measure(name, data, measure)


def testing(task, file, names=None):
    """Returns the `Measure` of the accuracy on the test set of a file."""
    test = attacks_by_people.read(file, task, names)

    def measure(model, log):
        predict = robustness.KerasModelWrapper(model)
        return {"accuracy": attacks_by_people.accuracy(predict, test)}

    data = sentences.digest([task.digest, *test.columns, test.labels])
    return Measure(file.name, data, measure)


if __name__ == "__main__":
    main()
