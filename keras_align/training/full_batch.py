"""All data in one step, as for a graph."""

from typing import Any

import keras

from keras_align.graphs import with_sparse_tensors


def full_batch(inputs: Any, targets: Any = None, sample_weight: Any = None) -> Any:
    """Makes one batch of everything, for `fit`, `evaluate` and `predict` of a graph.

    Keras's arrays must have equally many rows everywhere, and the nodes and edges of a
    graph are not equally many. Which nodes count in the loss says `sample_weight`;
    compile with `weighted_metrics`, and a loss with
    `reduction="mean_with_sample_weight"`. Pass `shuffle=False` to `fit`.

    Args:
        inputs: nested structure of arrays, of any numbers of rows. Sparse matrices of
            SciPy are handed over as sparse tensors, on TensorFlow and JAX.
        targets: array with a row for each node, or `None`.
        sample_weight: float array `(n,)` or `None`.

    Returns:
        A `tf.data.Dataset` on TensorFlow, which is handed over uncopied in every
        epoch, and a `keras.utils.PyDataset` on other backends.

    Raises:
        ValueError: for a `sample_weight` without `targets`.

    Example:

    >>> inputs = {"features": np.ones((3, 4)), "edges": np.array([[0, 1]])}
    >>> len(keras_align.training.full_batch(inputs, np.zeros(3), np.ones(3)))
    1
    """
    if targets is None and sample_weight is not None:
        raise ValueError(
            "Argument `sample_weight` needs `targets`. Received: a `sample_weight` and "
            "targets=None"
        )
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


class _FullBatch(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self._batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._batch
