"""Where `fit` is in its data, and how it goes on from there."""

import functools
import inspect

import keras
import numpy as np
from keras.src.random import seed_generator
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_align.keras_internals.compiling import innermost_optimizer


class DataOfFit:
    """The data of the `fit` that is going on; to be made in a callback.

    Without `steps_per_epoch` every epoch has an iterator of its own; with it, Keras
    goes on in one over several epochs until the data end.

    Raises:
        RuntimeError: outside of Keras's `fit`.
    """

    def __init__(self, model):
        self._model, self._built = model, keras.backend.backend() != "tensorflow"
        self._iterator = _epoch_iterator()

    @property
    def py_dataset(self):
        """The `keras.utils.PyDataset` that `fit` got, or `None`."""
        return getattr(self._iterator.data_adapter, "py_dataset", None)

    @property
    def is_cut(self):
        """Whether epochs end at `steps_per_epoch` and not where the data do."""
        steps = self._iterator.steps_per_epoch
        return steps is not None and steps != self._iterator._num_batches

    @property
    def steps_per_epoch(self):
        """The argument of `fit`."""
        return self._iterator.steps_per_epoch

    @property
    def length(self):
        """Batches until the data end, -1 if that is unknown."""
        length = self._iterator._num_batches
        return -1 if length is None else length

    def ended(self, done):
        """Whether no batch follows in the epoch of which `done` were trained on."""
        steps = self._iterator.num_batches
        return steps is not None and (done >= steps or self._all_read())

    def read(self, done):
        """Number of batches that were read since the iterator began."""
        if self._iterator.steps_per_epoch is None:
            return done
        return 0 if self._all_read() else self._iterator._steps_seen

    def _all_read(self):
        if self._iterator._current_iterator is None:
            return True
        return 0 <= self.length <= self._iterator._steps_seen

    def go_on(self, done, read, ready):
        """Lets `fit` begin its first epoch after the batches that were trained on.

        They are read, but neither computed nor shown to callbacks. If the length of the
        data is unknown, this may be their end, and `fit` needs the logs of a batch:
        callbacks then see the last one again.

        Args:
            done: int, batches of the epoch that were trained on.
            read: int, batches that were read since the iterator began.
            ready: function, called as soon as all of them have been read.
        """
        iterator, size = self._iterator, self._iterator.steps_per_execution
        repeats = done > 0 and iterator.num_batches is None

        def enumerate_rest():
            del iterator._enumerate_iterator  # from here on it is Keras's own
            steps = iterator._enumerate_iterator()
            for begin, end, batches in steps:
                if begin == 0:
                    self._skip(read - done, batches)
                    iterator._steps_seen += read - done
                if begin + repeats * size < done:
                    self._skip(size, batches)
                    continue
                if not repeats:
                    ready()
                yield begin, end, batches
                break
            yield from steps

        iterator._enumerate_iterator = enumerate_rest
        if repeats:
            self._repeat_logs(ready)

    def _skip(self, number, batches):
        """Reads a number of batches, or as many as there are."""
        for _, batch in zip(range(number), batches, strict=False):
            if not self._built:  # as Keras does in the first step, metrics among it
                self._model._symbolic_build(data_batch=batch)
                self._built = True

    def _repeat_logs(self, ready):
        """Replaces the next step by reading its batches and giving the logs so far."""
        model, size = self._model, self._iterator.steps_per_execution
        function = model.train_function

        def logs_so_far(*arguments):
            model.train_function = function
            self._skip(size, arguments[-1])
            ready()
            if keras.backend.backend() != "jax":
                return model.get_metrics_result()
            state = arguments[0]
            values = zip(model.metrics_variables, state[-1], strict=True)
            with keras.StatelessScope(state_mapping=list(values)):
                return model.get_metrics_result(), state

        model.train_function = logs_so_far


def _epoch_iterator():
    """What `fit` takes its batches from, which it gives to nobody."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit":
            found = frame.f_locals.get("epoch_iterator")
            if isinstance(found, EpochIterator):
                return found
        frame = frame.f_back
    raise RuntimeError("BackupAndResume works in Keras's own `fit` alone.")


def global_seed():
    """The variable from which random operations without a seed of their own draw."""
    return seed_generator.global_seed_generator().state


def batches_and_accumulation(optimizer):
    """Number of batches an optimizer was given, and of how many it makes a step."""
    inner = innermost_optimizer(optimizer)
    batches = int(keras.ops.convert_to_numpy(inner._iterations))
    return batches, inner.gradient_accumulation_steps or 1


def begin_at_epoch(model, epoch):
    """Sets the epoch that `fit` begins with; `None` leaves it to its argument."""
    model._initial_epoch = epoch


def gather_from_workers(model, numbers):
    """Gathers numbers from all processes that train a model.

    Args:
        model: `keras.Model`.
        numbers: sequence of ints, as many in every process.

    Returns:
        Array with a row for each process (under `tf.distribute`, each replica).
    """
    row = np.asarray(numbers, "int64")
    if keras.backend.backend() == "jax":
        import jax
        from jax.experimental import multihost_utils

        several = jax.process_count() > 1
        return multihost_utils.process_allgather(row) if several else row[None]
    if keras.backend.backend() != "tensorflow":
        return row[None]
    import tensorflow as tf

    strategy = model.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return row[None]

    return _gathering(strategy)(tf.constant(row)).numpy()


@functools.lru_cache(maxsize=1)  # traced once
def _gathering(strategy):
    """A function that gathers a row of every replica of the strategy."""
    import tensorflow as tf

    def of_replica(row):
        context = tf.distribute.get_replica_context()
        replicas = strategy.num_replicas_in_sync
        place = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=row.dtype)
        return context.all_reduce("SUM", place[:, None] * row)

    @tf.function(reduce_retracing=True)
    def gather(row):
        rows = strategy.run(of_replica, args=(row,))
        return strategy.experimental_local_results(rows)[0]

    return gather
