"""Training of graph attention networks, once compiled and reset for every seed."""

import dataclasses
import time

import graph_methods
import graph_scores
import keras
import numpy as np
from best_of_both import BestOfBoth
from keras import ops

import keras_align
from keras_align.training import full_batch


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a network is trained; `of_dataset` has the paper's.

    Args:
        learning_rate: Float, of Adam.
        penalty: Float, of the squares of all weights, halved.
        output_heads: Integer.
        scoring: String, "gat" or "gatv2".
        epochs: Integer, the most.
        patience: Integer, see `BestOfBoth`.
        jit_compile: Bool, whether to compile with XLA.
        precision: String, the dtype policy.
    """

    learning_rate: float = 0.005
    penalty: float = 5e-4
    output_heads: int = 1
    scoring: str = "gat"
    epochs: int = 100_000
    patience: int = 100
    jit_compile: bool = True
    precision: str = "float32"


def of_dataset(name, **changes):
    """Returns the `Settings` of Velickovic et al. 2018 for a graph."""
    if name == "pubmed":
        of_pubmed = {"learning_rate": 0.01, "penalty": 1e-3, "output_heads": 8}
        return Settings(**of_pubmed | changes)
    return Settings(**changes)


def build(graph, settings):
    """Returns a `keras_align.models.GraphAttentionNetwork` for a graph."""
    return keras_align.models.GraphAttentionNetwork(
        graph.features.shape[1],
        graph.num_classes,
        output_heads=settings.output_heads,
        scoring=settings.scoring,
        sparse=graph.is_sparse,
        regularizer=keras.regularizers.L2(settings.penalty / 2.0),
        dtype=settings.precision,
    )


def compile_model(model, settings):
    """Compiles with the mean cross entropy over the nodes of the split."""
    model.compile(
        keras.optimizers.Adam(settings.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[
            "accuracy",
            keras.metrics.SparseCategoricalCrossentropy(
                name="cross_entropy", from_logits=True
            ),
        ],
        jit_compile=settings.jit_compile,
    )


class RepeatedRuns:
    """One network that is traced once and trained for many seeds.

    A seed decides the first weights and the dropout, so that runs of two methods with
    the same seed are paired.

    Args:
        graph: A `citation_graphs.Graph`.
        method: A `graph_methods.Method`.
        settings: `Settings`.
    """

    def __init__(self, graph, method, settings):
        self.graph, self.method, self.settings = graph, method, settings
        self.model = self.fresh(0)
        compile_model(self.model, settings)
        self.model.optimizer.build(self.model.trainable_variables)
        self.fresh_optimizer = [
            np.copy(ops.convert_to_numpy(v)) for v in self.model.optimizer.variables
        ]

    def fresh(self, seed):
        """Returns the network as it is before training with a seed."""
        keras.utils.set_random_seed(seed)
        model = build(self.graph, self.settings)
        if self.method.alignment is not None:
            keras_align.align_model(model, self.method.alignment, self.method.weight)
        return model

    def run(self, seed, graph=None):
        """Trains with one seed, on another split of the graph if one is given.

        Returns:
            A dictionary with `epochs_run`, `best_epoch`, `alignment_loss`, `seconds`,
            `mmd` (`keras_align.measure_alignment`, summed over layers and heads) and
            what `graph_scores.test` returns.
        """
        graph = graph or self.graph
        self._reset(seed)
        rule = BestOfBoth(patience=self.settings.patience)
        started = time.perf_counter()
        history = self.model.fit(
            batch(graph, "train"),
            validation_data=batch(graph, "validation"),
            epochs=self.settings.epochs,
            callbacks=[rule],
            shuffle=False,
            verbose=0,
        )
        losses = history.history.get("alignment_loss")
        return {
            "epochs_run": len(history.epoch),
            "best_epoch": rule.best_epoch + 1,
            "alignment_loss": losses[rule.best_epoch] if losses else np.nan,
            "seconds": time.perf_counter() - started,
            "mmd": self._discrepancy(graph),
            **graph_scores.test(self.model, graph),
        }

    def _discrepancy(self, graph):
        measure = keras_align.measure_alignment(
            self.model, graph.inputs(), graph_methods.BANDWIDTH, batch_size=None
        )
        return measure.total

    def _reset(self, seed):
        fresh = self.fresh(seed)
        for variable, other in zip(self.model.variables, fresh.variables, strict=True):
            variable.assign(other)
        optimizer = self.model.optimizer.variables
        for variable, value in zip(optimizer, self.fresh_optimizer, strict=True):
            variable.assign(value)


def batch(graph, part):
    """Returns the graph as a data set whose loss counts the nodes of a part."""
    labels = np.maximum(graph.labels, 0)
    return full_batch(graph.inputs(), labels, graph.weights(part))
