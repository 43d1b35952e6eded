"""The step of several replicas on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras.optimizers import Optimizer

from keras_align.keras_internals.compiling import innermost_optimizer

if TYPE_CHECKING:
    import tensorflow as tf

Gradients = Sequence[Any]  # tensors, and `None` for weights without one
Weights = Sequence[keras.Variable]


def track_loss(model: keras.Model, loss: tf.Tensor, samples: tf.Tensor) -> None:
    """Updates the `loss` in the logs with that of a batch."""
    model._loss_tracker.update_state(loss, sample_weight=samples)


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether Keras takes the logs of a strategy for those of several workers."""
    import tensorflow as tf

    known = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return known and strategy.extended._in_multi_worker_mode()


def apply_across_replicas(
    optimizer: Optimizer, gradients: Gradients, weights: Weights
) -> None:
    """Adds up the gradients of all replicas and applies the sum once.

    Keras adds them up at the very end: it would clip, accumulate and look for
    infinities in what each replica has alone.
    """
    import tensorflow as tf

    if not weights:
        return
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        known = [each for each in gradients if each is not None]
        context = tf.distribute.get_replica_context()
        reduced = iter(context.all_reduce("SUM", known) if known else ())
        gradients = [None if x is None else next(reduced) for x in gradients]
        inner = innermost_optimizer(optimizer)
        inner._all_reduce_sum_gradients = lambda gradients_and_weights: (
            gradients_and_weights
        )
        if inner.gradient_accumulation_steps or inner.ema_overwrite_frequency:
            _decide_for_all_replicas(inner)
    optimizer.apply_gradients(zip(gradients, weights, strict=True))


def _decide_for_all_replicas(optimizer: Optimizer) -> None:
    """Lets an optimizer do now and then what Keras decides in each replica.

    `tf.distribute` allows no update in such a decision, but one for all replicas.
    """
    import tensorflow as tf

    def decide(
        strategy: tf.distribute.Strategy, gradients: Gradients, weights: Weights
    ) -> None:
        def in_all(function: Callable[..., None], *args: Any) -> None:
            strategy.extended.call_for_each_replica(function, args=args)

        _update_or_accumulate(optimizer, in_all, gradients, weights)
        if optimizer.use_ema:
            _average(optimizer, in_all)

    def apply(gradients: Gradients, weights: Weights) -> None:
        context = tf.distribute.get_replica_context()
        context.merge_call(decide, args=(gradients, weights))

    optimizer._backend_apply_gradients = apply


def _update_or_accumulate(
    optimizer: Optimizer,
    in_all: Callable[..., None],
    gradients: Gradients,
    weights: Weights,
) -> None:
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        in_all(_update, optimizer, gradients, None, weights)
        return
    indices = map(optimizer._get_variable_index, weights)
    sums = [optimizer._accumulated_gradients[index] for index in indices]
    keras.ops.cond(
        (optimizer._iterations + 1) % steps == 0,
        lambda: in_all(_update, optimizer, gradients, sums, weights),
        lambda: in_all(_accumulate, optimizer, gradients, sums),
    )


def _update(
    optimizer: Optimizer, gradients: Gradients, sums: Gradients | None, weights: Weights
) -> None:
    """Keras's update, with the mean of what was accumulated if there is any."""
    if sums is not None:
        steps = optimizer.gradient_accumulation_steps
        pairs = zip(gradients, sums, strict=True)
        gradients = [(gradient + each) / steps for gradient, each in pairs]
    gradients = optimizer._clip_gradients(gradients)
    optimizer._apply_weight_decay(weights)
    optimizer._backend_update_step(gradients, weights, optimizer.learning_rate)
    if sums is not None:
        optimizer._backend_reset_gradient_accumulators()


def _accumulate(optimizer: Optimizer, gradients: Gradients, sums: Gradients) -> None:
    optimizer._backend_increment_gradient_accumulators(gradients, sums)


def _average(optimizer: Optimizer, in_all: Callable[..., None]) -> None:
    """Updates the moving averages of the weights, and now and then takes them over."""
    trained = optimizer._trainable_variables
    in_all(optimizer._update_model_variables_moving_average, trained)
    frequency = optimizer.ema_overwrite_frequency
    if frequency:
        keras.ops.cond(
            (optimizer.iterations + 1) % frequency == 0,
            lambda: in_all(optimizer.finalize_variable_values, trained),
            lambda: None,
        )
