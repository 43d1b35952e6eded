"""Features of nodes that are mostly 0, as words of documents are."""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_align.divergences.numerics import Tensor
from keras_align.graphs.dropping import dropout
from keras_align.graphs.segments import segment_sum, wide_dtype


@dataclass(frozen=True)
class SparseFeatures:
    """A matrix `(n, F)` as the values that are not 0, and their places.

    Attributes:
        rows: integer tensor `(z,)`.
        columns: integer tensor `(z,)`.
        values: float tensor `(z,)`. Values of the same place are added.
        num_rows: int or scalar tensor, `n`.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    num_rows: Any

    def masked(self, mask: Tensor) -> "SparseFeatures":
        """With 0 in the rows where a boolean tensor `(n,)` is False."""
        real = ops.take(mask, self.rows)
        return replace(self, values=ops.where(real, self.values, 0.0))

    def dropped(self, rate: float, seed: Any) -> "SparseFeatures":
        """After dropout, which draws nothing for what is 0 anyway."""
        return replace(self, values=dropout(self.values, rate, seed))

    def matmul(self, kernel: Tensor) -> Tensor:
        """The product `(n, D)` with a kernel `(F, D)`, summed in float32 or wider."""
        dtype = keras.backend.standardize_dtype(kernel.dtype)
        wide = wide_dtype(dtype)
        kernel = ops.multiply(kernel, 1.0)  # TensorFlow's gradient is an array, then
        terms = ops.cast(ops.take(kernel, self.columns, axis=0), wide)
        terms *= ops.cast(self.values, wide)[:, None]
        return ops.cast(segment_sum(terms, self.rows, self.num_rows), dtype)


def read_features(features: Any, dtype: str) -> Any:
    """`SparseFeatures` of a sparse tensor of TensorFlow or JAX, others as they are.

    Raises:
        ValueError: for a sparse tensor that is no matrix.
    """
    if not is_sparse(features):
        return features
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if len(features.indices.shape) != 2 or features.indices.shape[-1] != 2:
        raise ValueError(
            "Argument `features` must be of shape (n, F), without dense or batch axes. "
            f"Received: features of shape {tuple(features.shape)}, with indices of "
            f"shape {tuple(features.indices.shape)}"
        )
    values = ops.cast(features.values if on_tensorflow else features.data, dtype)
    rows, columns = ops.unstack(features.indices, axis=1)
    return SparseFeatures(rows, columns, values, ops.shape(features)[0])


def masked_rows(features: Any, mask: Tensor) -> Any:
    """Features `(n, F)`, with 0 in the rows where a boolean tensor `(n,)` is False."""
    if isinstance(features, SparseFeatures):
        return features.masked(mask)
    return ops.where(mask[:, None], features, 0.0)


def is_sparse(x: Any) -> bool:
    """Whether it is a `tf.SparseTensor` or, on JAX, a `BCOO`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return isinstance(x, tf.SparseTensor)
    if keras.backend.backend() == "jax":
        from jax.experimental import sparse

        return isinstance(x, sparse.BCOO)
    return False


def with_sparse_tensors(inputs: Any) -> Any:
    """A nested structure with sparse tensors in the place of SciPy's matrices."""
    return tree.map_structure(
        lambda leaf: sparse_tensor(leaf) if hasattr(leaf, "tocoo") else leaf, inputs
    )


def sparse_tensor(matrix: Any) -> Any:
    """Makes a sparse tensor of the backend of a sparse matrix or array of SciPy.

    Raises:
        ValueError: on PyTorch, for which Keras has no sparse tensors.
    """
    matrix = matrix.tocoo()
    indices = np.stack([matrix.row, matrix.col], axis=1)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.SparseTensor(indices.astype("int64"), matrix.data, matrix.shape)
    if keras.backend.backend() == "jax":
        from jax import numpy as jnp
        from jax.experimental import sparse

        data = jnp.asarray(matrix.data), jnp.asarray(indices.astype("int32"))
        return sparse.BCOO(data, shape=matrix.shape)
    raise ValueError(
        "Sparse matrices need the backend TensorFlow or JAX. Received: a matrix of "
        f"shape {matrix.shape} on {keras.backend.backend()}; pass `matrix.toarray()`"
    )
