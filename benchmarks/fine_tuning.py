"""Accuracy, calibration and alignment after fine-tuning, over seeds and settings.

Fine-tunes the pre-trained BERT of `examples/fine_tuning/finetune_bert.py` on movie
reviews and tests it there, on Amazon reviews, New York Times editorials and tweets,
once for every alignment, learning rate and seed. Runs of one seed share the new head,
the order of the sentences and the dropout, so differences to soft attention are paired.

    python benchmarks/fine_tuning.py --output results/fine_tuning.csv

Each model is built and traced once for all seeds; every run starts from the same
pre-trained weights. Runs that are in the file already are not repeated, so a benchmark
that was stopped goes on where it was, and two processes can share the alignments of
one file, which must not outlive a change of the code. The tables at the end are those
of the whole file.
"""

import argparse
import collections
import contextlib
import csv
import dataclasses
import itertools
import pathlib
import sys

import keras
import numpy as np

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES / "fine_tuning"))

import fetching
import finetuning
import sentences

import keras_align
from keras_align.alignments import get_alignment
from keras_align.conversion.finding import find_attention

DOMAINS = tuple(sentences.DOMAINS)
SETTING = ("alignment", "weight", "learning_rate", "seed")
MEASURED = tuple(f"{name} {x}" for name in DOMAINS for x in ("accuracy", "ece"))
SHARED = ("train_size", "test_size", "epochs", "sequence_length")  # by a whole file
COLUMNS = (*SETTING, *SHARED, *MEASURED, "mmd", "alignment_loss")
MEASURES = ("movies acc", "movies ECE", "out of domain acc", "out of domain ECE", "MMD")
BETTER = np.array([1, -1, 1, -1, -1])  # the sign of an improvement
Run = collections.namedtuple("Run", SETTING)


class Bench:
    """One model that is fine-tuned again and again from the same weights."""

    def __init__(self, task, alignment, settings):
        self.task, self.alignment, self.settings = task, alignment, settings
        self.model = finetuning.build(settings, len(task.classes), seed=0)
        self.weight = keras.Variable(0.0, trainable=False, name="alignment_weight")
        self.default_weight, self.aligned = 0.0, []
        if alignment != "none":
            self.default_weight = get_alignment(alignment).default_weight
            keras_align.align_model(self.model, alignment, self.weight)
            self.aligned = [found.layer for found in find_attention(self.model)[0]]
        self.train_inputs = self.encode(task.train)
        self.tests = {name: self.encode(test) for name, test in task.tests.items()}
        self.steps = len(task.train) // settings.batch_size * settings.epochs
        self.learning_rate = keras.Variable(0.0, trainable=False, name="learning_rate")
        settings = dataclasses.replace(settings, learning_rate=self.learning_rate)
        finetuning.compile_model(self.model, settings, self.steps)
        self.model.optimizer.build(self.model.trainable_variables)
        variables = self.model.variables + self.model.optimizer.variables
        self.new = {"pooled_dense/kernel", "logits/kernel"}  # not pre-trained
        self.start = [(variable, variable.numpy()) for variable in variables]

    def encode(self, part):
        return finetuning.encode(self.model.preprocessor, part)

    def reset(self, seed):
        """Restores the first weights; draws what the seed decides."""
        draw = np.random.default_rng(seed)
        for variable, value in self.start:
            if variable.dtype == "uint32":  # state of a dropout
                value = value + np.array([seed, 0], "uint32")
            elif variable.path in self.new:
                value = np.clip(draw.normal(0.0, 0.02, value.shape), -0.04, 0.04)
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        for attention in self.aligned:
            shape = (None, None, attention.num_heads, attention.key_dim)
            fresh = get_alignment(attention.alignment)
            fresh.build(shape, shape)
            attention.alignment.set_weights(fresh.get_weights())

    def run(self, weight, learning_rate, seed):
        """Fine-tunes and tests; returns a row of the table."""
        self.reset(seed)
        self.weight.assign(weight)
        loss = self.train(learning_rate, np.random.default_rng(1000 + seed))
        row = Run(self.alignment, weight, learning_rate, seed)._asdict()
        for name, inputs in self.tests.items():
            labels = self.task.tests[name].labels
            scores = finetuning.score(finetuning.predict(self.model, inputs), labels)
            row |= {f"{name} {key}": 100 * scores[key] for key in self.task.measures}
        in_domain = next(iter(self.tests.values()))
        inputs = {name: x[: self.settings.measured] for name, x in in_domain.items()}
        measure = keras_align.measure_alignment(self.model, inputs)
        return row | {"mmd": measure.total, "alignment_loss": loss}

    def train(self, learning_rate, draw):
        size = self.settings.batch_size
        self.learning_rate.assign(learning_rate)  # falls linearly from there
        with finetuning.taking_tokens(self.model):
            for _ in range(self.settings.epochs):
                order = draw.permutation(len(self.task.train))
                self.model.reset_metrics()
                for first in range(0, len(order) - size + 1, size):
                    rows = order[first : first + size]
                    logs = self.model.train_on_batch(
                        {name: x[rows] for name, x in self.train_inputs.items()},
                        self.task.train.labels[rows],
                        return_dict=True,
                    )
        return float(logs.get("alignment_loss", 0.0))


def load_task(arguments):
    task = sentences.rated_sentences(fetching.rated_sentences(), arguments.test_size)
    train = task.train.first(arguments.train_size)
    return sentences.Task(task.name, task.classes, train, task.validation, task.tests)


def append(file, row):
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), file.open("x") as stream:
        stream.write(",".join(COLUMNS) + "\n")
    with file.open("a", newline="", encoding="utf-8") as stream:
        csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerow(row)


def read(file, shared):
    """Returns a dictionary from `Run` to the row of each run in the file.

    Raises:
        SystemExit: if the file's runs had other settings than `shared`.
    """
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        other = {key: row[key] for key in SHARED if row[key] != str(shared[key])}
        if other:
            sys.exit(f"error: {file} holds runs with other settings: {other}")
    return {
        Run(
            row["alignment"],
            float(row["weight"]),
            float(row["learning_rate"]),
            int(row["seed"]),
        ): row
        for row in rows
    }


def tables(runs):
    """Returns two tables: what was measured, and its differences to soft attention.

    Mean and standard deviation over the seeds; in the second also in how many seeds
    the alignment was better.
    """
    values = {run: summary(row) for run, row in runs.items()}
    measured = [f"| alignment (weight) | rate | seeds | {' | '.join(MEASURES)} |"]
    paired = list(measured)
    measured.append("|---" * (3 + len(MEASURES)) + "|")
    paired.append(measured[-1])
    for name, weight, rate in dict.fromkeys(run[:3] for run in values):
        of_seeds = {
            r.seed: v for r, v in values.items() if r[:3] == (name, weight, rate)
        }
        head = f"| {name} ({weight:g}) | {rate:g} | {len(of_seeds)} | "
        measured.append(head + " | ".join(spread(list(of_seeds.values()))) + " |")
        soft = {seed: values.get(Run("none", 0.0, rate, seed)) for seed in of_seeds}
        gains = [of_seeds[s] - soft[s] for s in of_seeds if soft[s] is not None]
        if name != "none" and gains:
            wins = np.sum(np.array(gains) * BETTER > 0, axis=0)
            cells = zip(spread(gains, "+"), wins, strict=True)
            paired.append(head + " | ".join(f"{c} ({n})" for c, n in cells) + " |")
    return "\n".join(measured) + "\n\n" + "\n".join(paired)


def summary(row):
    """Returns an array of the numbers of `MEASURES`."""
    inside, *outside = DOMAINS
    pick = [float(row[f"{inside} {x}"]) for x in ("accuracy", "ece")]
    for x in ("accuracy", "ece"):
        pick.append(np.mean([float(row[f"{name} {x}"]) for name in outside]))
    return np.array([*pick, float(row["mmd"])])


def spread(values, sign=""):
    mean = np.mean(values, axis=0)
    if len(values) == 1:
        return [f"{m:{sign}.2f}" for m in mean]
    deviation = np.std(values, axis=0, ddof=1)
    return [f"{m:{sign}.2f}±{d:.2f}" for m, d in zip(mean, deviation, strict=True)]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--alignments", nargs="+", default=["none", "ct", "gan", "ot", "mmd"]
    )
    parser.add_argument("--weight", type=float, help="default: the alignment's own")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[1e-4])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--train-size", type=int, default=2016)
    parser.add_argument("--test-size", type=int, default=1000)
    parser.add_argument("--sequence-length", type=int, default=32)
    parser.add_argument("--no-jit", action="store_true", help="compile without XLA")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a CSV file")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    shared = {key: getattr(arguments, key) for key in SHARED}
    read(arguments.output, shared)
    task = load_task(arguments)
    settings = finetuning.Settings(
        fetching.minilm(),
        sequence_length=arguments.sequence_length,
        epochs=arguments.epochs,
        jit_compile=not arguments.no_jit,
    )
    for alignment in arguments.alignments:
        bench = Bench(task, alignment, settings)
        weight = bench.default_weight if arguments.weight is None else arguments.weight
        weight = 0.0 if alignment == "none" else weight
        for rate, seed in itertools.product(
            arguments.learning_rates, range(arguments.seeds)
        ):
            if Run(alignment, weight, rate, seed) in read(arguments.output, shared):
                continue
            row = bench.run(weight, rate, seed) | shared
            append(arguments.output, row)
            print(row, flush=True)
    print(tables(read(arguments.output, shared)))


if __name__ == "__main__":
    main()
