"""The state of a run of training that Keras keeps outside of its public names."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random import seed_generator

from keras_align.keras_internals.compiling import innermost_optimizer


def global_seed() -> keras.Variable:
    """The variable from which random operations without a seed of their own draw."""
    return seed_generator.global_seed_generator().state


def known_global_seed() -> keras.Variable | None:
    """`global_seed()`, or `None` while nothing has drawn from it."""
    generator = global_state.get_global_attribute("global_seed_generator")
    return None if generator is None else generator.state


def forget_global_seed() -> None:
    """Lets the next operation that draws from it make it anew."""
    global_state.set_global_attribute("global_seed_generator", None)


def batches_and_accumulation(
    optimizer: keras.optimizers.Optimizer,
) -> tuple[int, int]:
    """Number of batches an optimizer was given, and of how many it makes a step."""
    inner = innermost_optimizer(optimizer)
    batches = int(keras.ops.convert_to_numpy(inner._iterations))
    return batches, inner.gradient_accumulation_steps or 1


def begin_at_epoch(model: keras.Model, epoch: int | None) -> None:
    """Sets the epoch that `fit` begins with; `None` leaves it to its argument."""
    model._initial_epoch = epoch


def gather_from_workers(model: keras.Model, numbers: Sequence[int]) -> np.ndarray:
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
def _gathering(strategy: Any) -> Callable[[Any], Any]:
    """A function that gathers a row of every replica of the strategy."""
    import tensorflow as tf

    def of_replica(row: Any) -> Any:
        context = tf.distribute.get_replica_context()
        replicas = strategy.num_replicas_in_sync
        place = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=row.dtype)
        return context.all_reduce("SUM", place[:, None] * row)

    @tf.function(reduce_retracing=True)
    def gather(row: Any) -> Any:
        rows = strategy.run(of_replica, args=(row,))
        return strategy.experimental_local_results(rows)[0]

    return gather
