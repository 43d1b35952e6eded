"""All data in one step, as for a graph."""

from typing import Any

import keras


class FullBatch(keras.utils.PyDataset):
    """One batch of everything, for `fit`, `evaluate` and `predict` of a graph.

    Keras's arrays must have equally many rows everywhere, and the nodes and edges of a
    graph are not. Which nodes count in the loss says `sample_weight`; compile with
    `weighted_metrics`, and a loss with `reduction="mean_with_sample_weight"`.

    Args:
        inputs: nested structure of arrays, of any numbers of rows.
        targets: array with a row for each node, or `None`.
        sample_weight: float array `(n,)` or `None`.

    Example:

    >>> inputs = {"features": np.ones((3, 4)), "edges": np.array([[0, 1]])}
    >>> batch = keras_align.training.FullBatch(inputs, np.zeros(3), np.ones(3))
    >>> len(batch)
    1
    """

    def __init__(self, inputs: Any, targets: Any = None, sample_weight: Any = None):
        super().__init__()
        given = [each for each in (targets, sample_weight) if each is not None]
        self._data = (inputs, *given)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple:
        return self._data

    def as_dataset(self) -> Any:
        """The same as a `tf.data.Dataset`, which TensorFlow hands over uncopied."""
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(self._data)
