"""Runs of fine-tuning that are kept in a file, and tables of them."""

import dataclasses
import functools
import hashlib
import pathlib
import time

import comparing
import keras
import repeated_runs
import runs_file

KEY = ("task", "test", "method", "weight", "options", "settings", "data")
KEY += ("backend", "seed")
LINES = (
    ("accuracy", "accuracy, %", 100.0, 1),
    ("f1", "F1, %", 100.0, 1),
    ("matthews", "Matthews, %", 100.0, 1),
    ("pearson", "Pearson, %", 100.0, 1),
    ("spearman", "Spearman, %", 100.0, 1),
    ("exact_match", "exact match, %", 100.0, 1),
    ("best_exact_match", "exact match, best threshold, %", 100.0, 1),
    ("best_f1", "F1, best threshold, %", 100.0, 1),
    ("ece", "ECE, %", 100.0, 1),
    ("scaled_ece", "ECE scaled, %", 100.0, 1),
    ("nll", "NLL", 1.0, 3),
    ("scaled_nll", "NLL scaled", 1.0, 3),
    ("brier", "Brier", 1.0, 3),
    ("scaled_brier", "Brier scaled", 1.0, 3),
    ("mmd", "total MMD", 1.0, 2),
)
OF_RUN = (*(key for key, *_ in LINES), "temperature", "cpu_seconds_per_step")


def open_runs(file):
    """Returns the `runs_file.Runs` in a file, which need not be there yet."""
    return runs_file.Runs(file, KEY, OF_RUN)


def described(settings):
    """Returns `finetuning.Settings` as a text that is the same on every machine."""
    fields = dataclasses.asdict(settings)
    fields["preset"] = named(str(settings.preset))
    del fields["verbose"]
    given = {name: value for name, value in fields.items() if value is not None}
    return " ".join(f"{name}={value}" for name, value in given.items())


@functools.cache
def named(preset):
    """Returns the name of a preset, of a folder with a digest of what is in it."""
    folder = pathlib.Path(preset)
    if not folder.is_dir():
        return preset
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{folder.name}-{digest.hexdigest()[:8]}"


def keys_of(task, method, settings, seed):
    """Returns for each test of a task what names its row."""
    weight, backend = method.alignment_weight, keras.backend.backend()
    data = task.digest
    return {
        test: {
            "task": task.name,
            "test": test,
            "method": method.name,
            "weight": weight,
            "options": method.options,
            "settings": described(settings),
            "data": data,
            "backend": backend,
            "seed": seed,
        }
        for test in task.tests
    }


def compare(
    task, methods, settings, seeds, runs, new=repeated_runs.RepeatedRuns, of_seed=None
):
    """Runs what is not in the file; returns for each test rows by titles of methods.

    Args:
        task: `sentences.Task`, or what `new` takes in its place.
        methods: List of `methods.Method`s.
        settings: `finetuning.Settings`.
        seeds: Integer, the runs of each method.
        runs: What `open_runs` returned.
        new: `repeated_runs.RepeatedRuns` or a subclass.
        of_seed: Callable from a seed to the task that it has, as a fold, or `None` if
            all have the same.
    """
    found = {test: {} for test in task.tests}
    for method in methods:
        repeated = None
        for seed in range(seeds):
            own = of_seed(seed) if of_seed else task
            keys = keys_of(own, method, settings, seed)
            if any(runs.find(key) is None for key in keys.values()):
                if repeated is None or of_seed:
                    repeated = new(own, method, settings)
                print(f"{task.name}, {method.title}, seed {seed}", flush=True)
                keep(repeated.run(seed), keys, runs, left_out(own))
            for test, key in keys.items():
                found[test].setdefault(method.title, []).append(runs.find(key))
    return found


def left_out(task):
    """Returns the scores that are no measures of a task."""
    measures = getattr(task, "measures", OF_RUN)
    return {"f1", "matthews"} - set(measures)


def keep(run, keys, runs, left_out=()):
    """Writes the rows of a run that the file does not have, but for some scores."""
    of_run = {
        "mmd": run["measure"].total,
        "temperature": run["temperature"],
        "cpu_seconds_per_step": run["cpu_seconds_per_step"],
    }
    for test, key in keys.items():
        if runs.find(key) is None:
            names = set(OF_RUN) - set(left_out)
            scores = {k: v for k, v in run["tests"][test].items() if k in names}
            runs.add(key, scores | of_run)


def text(found):
    """Returns one table for each test."""
    tables = []
    for test, by_method in found.items():
        table = comparing.table(by_method, LINES)
        tables.append(f"{test}, {len(next(iter(by_method.values())))} seed(s)\n{table}")
    return "\n\n".join(tables)


def write(found, folder, begin):
    """Prints the tables and writes them into a folder.

    Args:
        found: List of what `compare` returned.
        folder: Path.
        begin: Float, when the script began, of `time.perf_counter`.
    """
    tables = "\n\n".join(map(text, found))
    (folder / "table.txt").write_text(tables + "\n", encoding="utf-8")
    minutes = (time.perf_counter() - begin) / 60
    print(f"\n{tables}\n\nTables and runs: {folder}. It took {minutes:.1f} minutes.")
