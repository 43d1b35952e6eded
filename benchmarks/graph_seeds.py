"""Trains a graph attention network for many seeds at once, as one program of JAX.

    KERAS_BACKEND=jax python benchmarks/graph_seeds.py --data-dir data --seeds 20 \
        --dataset cora --methods soft,gan,ct,ot,mmd --output runs.csv

makes the same comparison as `examples/graphs/node_classification.py`: the same network,
settings, checkpoint rule, scores, table and columns of `--output`, to which runs are
added that are not there; `--all-folds` runs over the ten splits of Actor. All seeds of
a method are one batch (`jax.vmap`), and an epoch costs no Python, so that a GPU trains
a hundred seeds in the time of a few.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
sys.path[:0] = [str(EXAMPLES.parent), str(EXAMPLES), str(EXAMPLES / "graphs")]

import citation_graphs
import graph_results
import graph_scores
import graph_training
import jax
import keras
import node_classification
import numpy as np
from graph_methods import BANDWIDTH, METHODS
from jax import numpy as jnp
from keras import ops, tree

import keras_align
from keras_align.graphs import with_sparse_tensors

FOLDS = 10  # splits of Actor
EPOCHS = 50  # between two looks at who has ended


@dataclasses.dataclass
class Seeds:
    """What is known of every seed; each leaf has the seeds as its first axis.

    Attributes:
        weights: List of arrays, those that are trained.
        others: List of arrays, the states of generators.
        slots: List of arrays, of the optimizer.
        kept: List of arrays, the weights that were best.
        rule: Dictionary of arrays, see `BestOfBoth`.
        nodes: Dictionary of the weights of nodes, for "train" and "validation".
    """

    weights: list
    others: list
    slots: list
    kept: list
    rule: dict
    nodes: dict


jax.tree_util.register_dataclass(Seeds)


class Trainer:
    """One network whose weights are passed to it, for all seeds.

    Args:
        graph: A `citation_graphs.Graph`.
        method: A `graph_methods.Method`.
        settings: `graph_training.Settings`.
    """

    def __init__(self, graph, method, settings):
        self.graph, self.settings = graph, settings
        self.runs = graph_training.RepeatedRuns(graph, method, settings)
        self.model, self.optimizer = self.runs.model, self.runs.model.optimizer
        self.labels = jnp.asarray(np.maximum(graph.labels, 0))
        inputs = with_sparse_tensors(graph.inputs())
        self.inputs = tree.map_structure(ops.convert_to_tensor, inputs)
        self.epochs = jax.jit(
            lambda seeds: jax.lax.fori_loop(
                0, EPOCHS, lambda _, x: jax.vmap(self.epoch)(x), seeds
            )
        )

    def begin(self, seeds, graphs):
        """Returns the `Seeds` before the first epoch."""
        weights, others = [], []
        for seed in seeds:
            model = self.runs.fresh(seed)
            weights.append([v.value for v in model.trainable_variables])
            others.append([v.value for v in model.non_trainable_variables])
        slots = [[jnp.asarray(v) for v in self.runs.fresh_optimizer]] * len(seeds)
        weights, others, slots = map(_stacked, (weights, others, slots))
        count = len(seeds)
        rule = {
            "lowest": jnp.full(count, jnp.inf),
            "highest": jnp.zeros(count),
            "waited": jnp.zeros(count, "int32"),
            "best_epoch": jnp.zeros(count, "int32"),
            "epochs_run": jnp.zeros(count, "int32"),
        }
        parts = ("train", "validation")
        nodes = {
            part: jnp.stack([jnp.asarray(each.weights(part)) for each in graphs])
            for part in parts
        }
        return Seeds(weights, others, slots, weights, rule, nodes)

    def epoch(self, seed):
        """Returns one seed after a step and a look at the validation nodes."""
        compute = jax.value_and_grad(self.loss, has_aux=True)
        (_, others), gradients = compute(seed.weights, seed.others, seed.nodes["train"])
        weights, slots = self.optimizer.stateless_apply(
            seed.slots, gradients, seed.weights
        )
        logits, _ = self.model.stateless_call(
            weights, others, self.inputs, training=False
        )
        of_nodes = seed.nodes["validation"]
        right = jnp.argmax(logits, axis=-1) == self.labels
        accuracy = jnp.sum(right * of_nodes) / jnp.sum(of_nodes)
        rule, best = self.judge(
            seed.rule, self.cross_entropy(logits, of_nodes), accuracy
        )
        kept = [
            jnp.where(best, new, old)
            for new, old in zip(weights, seed.kept, strict=True)
        ]
        return Seeds(weights, others, slots, kept, rule, seed.nodes)

    def loss(self, weights, others, of_nodes):
        """What is minimised, and the new states of generators."""
        logits, others, losses = self.model.stateless_call(
            weights, others, self.inputs, training=True, return_losses=True
        )
        return self.cross_entropy(logits, of_nodes) + sum(losses), others

    def cross_entropy(self, logits, of_nodes):
        """Mean over nodes of a weight of 1."""
        of_labels = jax.nn.log_softmax(logits)[jnp.arange(len(logits)), self.labels]
        return -jnp.sum(of_labels * of_nodes) / jnp.sum(of_nodes)

    def judge(self, rule, loss, accuracy):
        """`BestOfBoth` for one epoch; nothing changes once it has ended."""
        going = rule["waited"] < self.settings.patience
        going &= rule["epochs_run"] < self.settings.epochs
        lower = (loss <= rule["lowest"]) & going
        higher = (accuracy >= rule["highest"]) & going
        best, waits = lower & higher, going & ~(lower | higher)
        return {
            "lowest": jnp.where(lower, loss, rule["lowest"]),
            "highest": jnp.where(higher, accuracy, rule["highest"]),
            "waited": jnp.where(lower | higher, 0, rule["waited"] + waits),
            "best_epoch": jnp.where(best, rule["epochs_run"] + 1, rule["best_epoch"]),
            "epochs_run": rule["epochs_run"] + going,
        }, best

    def train(self, seeds, graphs):
        """Yields the place of a seed, its kept weights, and its rule, once it ended."""
        state, places = self.begin(seeds, graphs), np.arange(len(seeds))
        while len(places):
            state = self.epochs(state)
            waited = np.asarray(state.rule["waited"])
            ended = waited >= self.settings.patience
            ended |= np.asarray(state.rule["epochs_run"]) >= self.settings.epochs
            # Another size is compiled again, which pays for half of the seeds.
            if not ended.all() and ended.sum() < (len(places) + 1) // 2:
                continue
            for place in np.flatnonzero(ended):
                one = jax.tree.map(lambda x, k=place: x[k], (state.kept, state.rule))
                yield places[place], *one
            going = np.flatnonzero(~ended)
            state = jax.tree.map(lambda x, rows=going: x[rows], state)
            places = places[going]

    def scores(self, weights, graph):
        """Returns the scores of a network with some weights."""
        for variable, value in zip(
            self.model.trainable_variables, weights, strict=True
        ):
            variable.assign(value)
        measure = keras_align.measure_alignment(
            self.model, graph.inputs(), BANDWIDTH, batch_size=None
        )
        return {"mmd": measure.total, **graph_scores.test(self.model, graph)}


def _stacked(lists):
    return [jnp.stack(each) for each in zip(*lists, strict=True)]


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--at-once", type=int, default=20, help="seeds in one batch")
    parser.add_argument("--all-folds", action="store_true", help="of Actor")
    own, rest = parser.parse_known_args(arguments)
    options = node_classification.parse_arguments(rest)
    if own.all_folds and (options.dataset != "actor" or options.random_splits):
        parser.error("--all-folds is for the splits of Actor alone")
    settings = graph_training.of_dataset(
        options.dataset,
        scoring=options.scoring,
        epochs=options.epochs,
        patience=options.patience,
        precision=options.precision,
    )
    runs = graph_results.Runs(own.output)
    by_method = {METHODS[name].title: [] for name in options.methods}
    for fold in range(FOLDS) if own.all_folds else [options.fold]:
        options.fold = fold
        graph = citation_graphs.load(options.dataset, options.data_dir, fold)
        for name in options.methods:
            rows = compare(graph, name, settings, options, runs, own.at_once)
            by_method[METHODS[name].title] += [mean(rows)] if own.all_folds else rows
    print(f"\n{graph_results.table(by_method)}")


def mean(rows):
    """Returns the means of the seeds of a fold, which share split and data."""
    names = graph_results.OF_RUN
    return {name: np.mean([float(row[name]) for row in rows]) for name in names}


def compare(graph, name, settings, options, runs, at_once):
    """Returns the rows of one method, after adding those that are not there."""
    method = METHODS[name].weighted(options.weight)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    keys = {s: node_classification.key_of(name, method, s, options) for s in seeds}
    missing = [seed for seed in seeds if runs.find(keys[seed]) is None]
    trainer = Trainer(graph, method, settings) if missing else None
    for start in range(0, len(missing), at_once):
        part, started = missing[start : start + at_once], time.perf_counter()
        graphs = [node_classification.split_of(graph, s, options) for s in part]
        for place, weights, rule in trainer.train(part, graphs):
            run = {name: float(value) for name, value in rule.items()}
            run["seconds"] = (time.perf_counter() - started) / len(part)
            run |= trainer.scores(weights, graphs[place])
            runs.add(keys[part[place]], run)
            print(
                f"{options.dataset}, {method.title}, seed {part[place]}: "
                f"{100 * run['accuracy']:.1f}% after {run['epochs_run']:.0f} epochs, "
                f"{run['seconds']:.1f} s a seed",
                flush=True,
            )
    keras.utils.clear_session(free_memory=False)
    return [runs.find(key) for key in keys.values()]


if __name__ == "__main__":
    main()
