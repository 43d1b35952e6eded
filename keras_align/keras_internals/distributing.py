"""The step of several replicas on TensorFlow."""

import keras

from keras_align.keras_internals.compiling import innermost_optimizer


def compute_loss(model, x, y, outputs, sample_weight, training):
    """`model.compute_loss`, which may be one without the argument `training`."""
    return model._compute_loss(x, y, outputs, sample_weight, training=training)


def added_losses(model):
    """Sum of what layers added, divided by the number of replicas as in the loss."""
    return sum(map(model._aggregate_additional_loss, model.losses), 0.0)


def track_loss(model, loss, samples):
    """Updates the `loss` in the logs with that of a batch."""
    model._loss_tracker.update_state(loss, sample_weight=samples)


def is_multi_worker(strategy):
    """Whether Keras takes the logs of a strategy for those of several workers."""
    import tensorflow as tf

    known = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return known and strategy.extended._in_multi_worker_mode()


def apply_across_replicas(optimizer, gradients, weights):
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


def _decide_for_all_replicas(optimizer):
    """Lets an optimizer do now and then what Keras decides in each replica.

    `tf.distribute` allows no update in such a decision, but one for all replicas.
    """
    import tensorflow as tf

    def apply_for_all(strategy, gradients, weights):
        def in_all(function, *args):
            return strategy.extended.call_for_each_replica(function, args=args)

        steps = optimizer.gradient_accumulation_steps
        if steps:
            indices = map(optimizer._get_variable_index, weights)
            sums = [optimizer._accumulated_gradients[index] for index in indices]
            keras.ops.cond(
                (optimizer._iterations + 1) % steps == 0,
                lambda: in_all(_update, optimizer, gradients, sums, weights),
                lambda: in_all(_accumulate, optimizer, gradients, sums),
            )
        else:
            in_all(_update, optimizer, gradients, None, weights)
        if optimizer.use_ema:
            trained = optimizer._trainable_variables
            in_all(optimizer._update_model_variables_moving_average, trained)
            frequency = optimizer.ema_overwrite_frequency
            if frequency:
                overwrite = optimizer._overwrite_model_variables_with_average_value
                keras.ops.cond(
                    (optimizer.iterations + 1) % frequency == 0,
                    lambda: in_all(overwrite, trained),
                    lambda: None,
                )

    def apply(gradients, weights):
        context = tf.distribute.get_replica_context()
        context.merge_call(apply_for_all, args=(gradients, weights))

    optimizer._backend_apply_gradients = apply


def _update(optimizer, gradients, sums, weights):
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


def _accumulate(optimizer, gradients, sums):
    optimizer._backend_increment_gradient_accumulators(gradients, sums)
