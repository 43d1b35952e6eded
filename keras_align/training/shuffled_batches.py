"""Batches in an order that is known beforehand."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_align.training import like_lengths
from keras_align.validation import checks


class ShuffledBatches(keras.utils.PyDataset):
    """Arrays in batches, shuffled anew in every epoch by a seed and the epoch alone.

    A run that was interrupted can therefore go on in mid-epoch with the batches that
    are left, see `keras_align.BackupAndResume`, whose presence changes no order. Pass
    `shuffle=False` to `fit`. Tasks of keras-hub take `as_dataset()`.

    Args:
        inputs: array, or nested structure of arrays, with the samples along the first
            axis.
        targets: array or nested structure of arrays, or `None`.
        batch_size: int > 0, samples of a step; of all replicas and processes together.
        seed: int >= 0. Defaults to `0`.
        drop_remainder: bool, whether to leave out the last samples of an epoch that
            fill no batch; they are others in each epoch. XLA then compiles once.
            Defaults to `True`.
        num_shards: int > 0, number of processes of which each feeds its own part of
            every batch, as on JAX with `DataParallel(auto_shard_dataset=False)`.
            Defaults to `1`.
        shard_index: int >= 0, which part this process feeds. Defaults to `0`.
        shuffle: bool, whether to shuffle; otherwise every epoch has the order of the
            arrays. Defaults to `True`.
        lengths: integer array `(n,)`, the tokens of each sample in front of its
            padding. Where it shuffles, batches then have samples of like lengths.
            Token ids, masks, embeddings and integer targets are cut behind the
            longest: what has as many places along its second axis as the ids. On
            TensorFlow pass `as_dataset()` to `fit`, whose lengths may vary. Defaults
            to `None`.
        buckets: sequence of int, the lengths to which inputs are cut, the next larger
            one each; XLA compiles once for each of them. Longer batches keep their
            padding. Defaults to the multiples of 8.

    Attributes:
        epoch: int, the epoch whose order the batches have, from `0`. In `fit`, the
            first epoch has the order of `epoch`, and each epoch adds one, also those of
            a second `fit` and of `evaluate` or `predict` on the same object. Set it to
            begin elsewhere, in loops of your own, and for `as_dataset()`, whose epochs
            only `BackupAndResume(data=...)` can count.

    Raises:
        ValueError: if an argument is wrong.

    Example:

    >>> batches = keras_align.training.ShuffledBatches(np.arange(10), None, 4)
    >>> len(batches), batches[0][0].shape
    (2, (4,))
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        batch_size: int,
        seed: int = 0,
        drop_remainder: bool = True,
        num_shards: int = 1,
        shard_index: int = 0,
        shuffle: bool = True,
        lengths: Any = None,
        buckets: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        data = {"inputs": inputs} | ({} if targets is None else {"targets": targets})
        self._data = tuple(_arrays(name, each) for name, each in data.items())
        counts = {len(each) for each in tree.flatten(self._data)}
        if len(counts) != 1:
            raise ValueError(
                "Arguments `inputs` and `targets` must have the same number of samples "
                f"everywhere. Received: {sorted(counts)} samples"
            )
        (self._samples,) = counts
        checks.count("seed", seed)
        _check_sizes(batch_size, num_shards, shard_index)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._ordered: dict[tuple[int, int], np.ndarray] = {}
        self.drop_remainder, self.shuffle = drop_remainder, shuffle
        self._shards = shard_index, num_shards
        self._lengths: Any = None if lengths is None else self._checked(lengths)
        self._buckets = like_lengths.all_buckets(buckets, self._lengths)
        self._tokens = like_lengths.token_axis(self._data[0])
        if not len(self):
            raise ValueError(
                f"Argument `batch_size` must be at most the {self._samples} samples. "
                f"Received: batch_size={batch_size}"
            )

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        checks.count("epoch", value)
        self._epoch, self._is_prepared, self._has_begun = value, False, False

    def __len__(self) -> int:
        whole, rest = divmod(self._samples, self.batch_size)
        return whole + int(rest > 0 and not self.drop_remainder)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not 0 <= index < len(self):
            raise IndexError(
                f"Expected the index of one of {len(self)} batches. Received: {index}"
            )
        rows, end = self._rows(self.epoch, index), self._end(self.epoch, index)
        batch = tree.map_structure(lambda array: array[rows], self._data)
        return like_lengths.cut(batch, self._tokens, end)

    def _rows(self, epoch, index):
        shard, shards = self._shards
        return np.array_split(self._batch(epoch, index), shards)[shard]

    def _batch(self, epoch, index):
        """The rows of a batch, of all shards."""
        begin = index * self.batch_size
        rows = np.arange(begin, min(begin + self.batch_size, self._samples))
        if not self.shuffle:
            return rows
        if self._lengths is None:
            return _order(self.seed, epoch, self._samples)[rows]
        return self._by_length(epoch)[rows]

    def _by_length(self, epoch):
        """An order of the epoch in which neighbours have like lengths."""
        key = self.seed, epoch
        if key not in self._ordered:
            rng = np.random.default_rng((*key, 1))
            order = _order(*key, self._samples)
            found = like_lengths.grouped(order, self._lengths, self.batch_size, rng)
            self._ordered = {key: found}
        return self._ordered[key]

    def _end(self, epoch, index):
        """Where inputs of a batch are cut."""
        if self._lengths is None:
            return like_lengths.NOWHERE
        longest = self._lengths[self._batch(epoch, index)].max()
        return like_lengths.end_of(longest, self._buckets)

    def _checked(self, lengths):
        lengths = np.asarray(lengths)
        right = lengths.shape == (self._samples,) and lengths.dtype.kind in "iu"
        if not right or lengths.min(initial=0) < 0:
            raise ValueError(
                f"Argument `lengths` must be {self._samples} integers >= 0. Received: "
                f"lengths={lengths!r}"
            )
        return lengths

    def on_epoch_begin(self) -> None:
        self._has_begun = True

    def on_epoch_end(self) -> None:
        """Counts an epoch.

        Keras ends one more when `fit` begins: alone, or after it has begun one from
        which the model was built.
        """
        if self._is_prepared and self._has_begun:
            self._epoch += 1
        self._is_prepared, self._has_begun = True, False

    def as_dataset(self) -> Any:
        """The batches as a `tf.data.Dataset`, in the order of `epoch` when it begins.

        It cannot count epochs, as Keras begins passes of its own: every pass has the
        same order until `epoch` is set, by `BackupAndResume(data=...)` or a callback.

        Returns:
            `tf.data.Dataset` of known length, of inputs or pairs of inputs and targets.
        """
        import tensorflow as tf

        arrays = tree.map_structure(tf.convert_to_tensor, self._data)
        sizes = [len(self._rows(0, index)) for index in range(len(self))]
        ends = tf.constant(np.cumsum([0, *sizes]))

        def order():
            epoch, batches = self.epoch, range(len(self))
            rows = np.concatenate([self._rows(epoch, i) for i in batches])
            cuts = [self._end(epoch, i) for i in batches]
            return rows, np.array(cuts, "int64")

        def in_batches(_):
            rows, cuts = tf.numpy_function(order, [], (tf.int64, tf.int64))
            cuts.set_shape([len(self)])

            def batch(index):
                found = rows[ends[index] : ends[index + 1]]
                found.set_shape([sizes[0] if self.drop_remainder else None])
                return found, cuts[index]

            return tf.data.Dataset.range(len(self)).map(batch)

        def take(rows, end):
            batch = tree.map_structure(lambda array: tf.gather(array, rows), arrays)
            return (
                batch
                if self._lengths is None
                else like_lengths.cut(batch, self._tokens, end)
            )

        dataset = tf.data.Dataset.from_tensors(0).flat_map(in_batches).map(take)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(self)))
        options = tf.data.Options()
        # With it an iterator can take seconds to be deleted (TensorFlow 2.21).
        options.autotune.enabled = False
        return dataset.prefetch(2).with_options(options)


def _check_sizes(batch_size, num_shards, shard_index):
    checks.count("shard_index", shard_index)
    for name, value in (("batch_size", batch_size), ("num_shards", num_shards)):
        checks.positive_integer(name, value)
    if shard_index >= num_shards or batch_size % num_shards:
        raise ValueError(
            "Arguments `shard_index` must be below `num_shards`, which must divide "
            f"`batch_size`. Received: shard_index={shard_index}, "
            f"num_shards={num_shards}, batch_size={batch_size}"
        )


def _arrays(name, data):
    arrays = tree.map_structure(np.asarray, tree.lists_to_tuples(data))
    if not all(each.ndim for each in tree.flatten(arrays)):
        raise ValueError(
            f"Argument `{name}` must be of arrays with the samples along the first "
            f"axis. Received: {name}={data!r}"
        )
    return arrays


@functools.lru_cache(maxsize=2)  # all batches of an epoch are cut out of one
def _order(seed, epoch, samples):
    return np.random.default_rng((seed, epoch)).permutation(samples)
