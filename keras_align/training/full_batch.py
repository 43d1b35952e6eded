"""All data in one step, as for a graph."""

from typing import Any

import keras
import numpy as np
from keras import tree

from keras_align.graphs import with_sparse_tensors


def full_batch(inputs: Any, targets: Any = None, sample_weight: Any = None) -> Any:
    """Makes one batch of everything, for `fit`, `evaluate` and `predict` of a graph.

    Keras's arrays must have equally many rows everywhere, and the nodes and edges of a
    graph are not equally many. Which nodes count in the loss says `sample_weight`;
    compile with `weighted_metrics`, and a loss with
    `reduction="mean_with_sample_weight"`. Pass `shuffle=False` to `fit`.

    Args:
        inputs: array, or dict, list or tuple of arrays, of any numbers of rows. Sparse
            matrices of SciPy are handed over as sparse tensors, on TensorFlow and JAX.
        targets: array with a row for each node, or `None`.
        sample_weight: float array `(n,)` or `None`.

    Returns:
        A `tf.data.Dataset` on TensorFlow, which is handed over uncopied in every
        epoch, and a `keras.utils.PyDataset` on other backends.

    Raises:
        ValueError: for a `sample_weight` without `targets` or of another length, and
            for targets of which there are as many as of nothing in the inputs.

    Example:

    >>> inputs = {"features": np.ones((3, 4)), "edges": np.array([[0, 1]])}
    >>> len(keras_align.training.full_batch(inputs, np.zeros(3), np.ones(3)))
    1
    """
    inputs = tuple(inputs) if isinstance(inputs, list) else inputs
    if hasattr(targets, "shape"):
        _check_targets(inputs, targets)
    if sample_weight is not None:
        _check_weights(targets, sample_weight)
    given = [each for each in (targets, sample_weight) if each is not None]
    batch = (with_sparse_tensors(inputs), *given)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        options = tf.data.Options()  # one element: to tune its pipeline takes longer
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        options.threading.private_threadpool_size = 1
        return tf.data.Dataset.from_tensors(batch).with_options(options)
    return _FullBatch(batch)


def _check_targets(inputs, targets):
    rows = {leaf.shape[0] for leaf in tree.flatten(inputs) if hasattr(leaf, "shape")}
    if targets.shape[0] not in rows:
        raise ValueError(
            "Argument `targets` must have a row for each node. Received: targets of "
            f"shape {tuple(targets.shape)}, and inputs of {sorted(rows)} rows"
        )


def _check_weights(targets, sample_weight):
    if targets is None:
        raise ValueError(
            "Argument `sample_weight` needs `targets`. Received: a `sample_weight` and "
            "targets=None"
        )
    if not hasattr(targets, "shape"):
        return
    shape = tuple(np.shape(sample_weight))
    if shape != (targets.shape[0],):
        raise ValueError(
            f"Argument `sample_weight` must be of shape ({targets.shape[0]},), a "
            f"weight for each target. Received: sample_weight of shape {shape}"
        )


class _FullBatch(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self._batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._batch
