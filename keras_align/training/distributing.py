"""`fit` and `evaluate` under the strategies of `tf.distribute`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_align import keras_internals

if TYPE_CHECKING:
    import tensorflow as tf


def distribute(model: keras.Model, jit_compile: bool = True) -> keras.Model:
    """Lets `fit` and `evaluate` run as they should under a `tf.distribute` strategy.

    Keras's own training loop, with its progress bar, metrics, callbacks and
    checkpoints, gets a step that

    - computes losses and gradients under XLA on every replica. `compile(
      jit_compile=True)` puts the whole distributed step under XLA, which
      `tf.distribute.MirroredStrategy` cannot run. Gradients are reduced and applied
      outside. On a TPU everything is compiled anyhow.
    - reduces the gradients before anything is done with them, so that clipping, the
      scale of float16 and what is accumulated are those of the whole batch.
    - weights the loss of each replica by its samples. Where the replicas' shares of a
      batch are of different sizes, as in the last batch of an epoch, the step is that
      of one device; with Keras's own, samples count differently. A replica may be left
      without a sample.
    - runs under `tf.distribute.MultiWorkerMirroredStrategy`, where Keras's own fails.

    The step is that of one device for losses that are means over samples, Keras's usual
    reduction, or sums. Means over weights or unmasked tokens are taken in each replica,
    and averaged by samples. As with Keras alone, dropout draws the same in each
    replica, and `BatchNormalization` sees the samples of its replica: there must always
    be some (`drop_remainder=True`).

    Args:
        model: `keras.Model` on the TensorFlow backend, made in the strategy's scope and
            compiled with `jit_compile=False`, without a `train_step` or `test_step` of
            its own. Compiled again, it keeps the step.
        jit_compile: bool, whether to use XLA. Defaults to `True`.

    Returns:
        `model`.

    Raises:
        ValueError: if `model` is not as described.

    Example:

    >>> import tensorflow as tf
    >>> strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    >>> with strategy.scope():
    ...     inputs = keras.Input((5, 8))
    ...     layer = keras_align.AlignedMultiHeadAttention(2, 4)
    ...     model = keras.Model(inputs, layer(inputs, inputs))
    ...     model.compile("adam", "mse", jit_compile=False)
    >>> model = keras_align.training.distribute(model)
    >>> x = np.ones((8, 5, 8))
    >>> history = model.fit(x, x, verbose=0)
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`distribute` is for the TensorFlow backend; on JAX use "
            f"`keras.distribution`. Received: backend {keras.backend.backend()}"
        )
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Argument `model` must be a keras.Model. Received: model={model!r}"
        )
    _check(model)
    strategy = model.distribute_strategy
    model.train_step = functools.partial(_train_step, model, jit_compile)
    model.test_step = functools.partial(_test_step, model, jit_compile)
    if strategy.num_replicas_in_sync > 1:
        keras_internals.build_with_local_batches(model)
        if not _is_tpu(strategy):
            keras_internals.execute_step_by_step(model)
    model.train_function = model.test_function = None
    return model


def _check(model: keras.Model) -> None:
    own = [
        name
        for name in ("train_step", "test_step")
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    if not model.compiled or model.jit_compile or model.run_eagerly or own:
        raise ValueError(
            "Argument `model` must be compiled with `jit_compile=False` and "
            "`run_eagerly=False`, and have no `train_step` or `test_step` of its own. "
            f"Received: {type(model).__name__} '{model.name}' with "
            f"compiled={model.compiled}, "
            f"jit_compile={model.compiled and model.jit_compile}, "
            f"run_eagerly={model.compiled and model.run_eagerly}, own steps={own}"
        )
    extended = model.distribute_strategy.extended
    if not all(extended.variable_created_in_scope(v.value) for v in model.variables):
        raise ValueError(
            "Argument `model` must be made in the scope of the strategy in which it is "
            f"compiled. Received: {type(model).__name__} '{model.name}' with variables "
            "from elsewhere"
        )
    _sums_samples(model)


def _sums_samples(model: keras.Model) -> bool:
    """Whether the losses given to `compile` are sums over samples, no means."""
    losses = [x for x in keras.tree.flatten(model.loss) if x is not None]
    sums = {getattr(loss, "reduction", None) == "sum" for loss in losses}
    if len(sums) > 1:
        raise ValueError(
            "Argument `model` must be compiled with losses that are all sums, or all "
            f"means over samples. Received: '{model.name}' with loss={model.loss}"
        )
    return sums == {True}


def _train_step(model: keras.Model, jit_compile: bool, data: Any) -> dict[str, Any]:
    """One step of one replica, as `keras.Model.train_step`."""
    import tensorflow as tf

    _check(model)  # it may have been compiled again
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    weights = model.trainable_weights
    samples = _samples(x)

    @_compiled(jit_compile)
    def compute(x: Any, y: Any, sample_weight: Any, share: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = _loss(model, x, y, outputs, sample_weight, share, training=True)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [each.value for each in weights])
        return outputs, loss, gradients

    outputs, loss, gradients = compute(x, y, sample_weight, _share(samples))
    keras_internals.apply_across_replicas(model.optimizer, gradients, weights)
    return _logs(model, x, y, outputs, sample_weight, loss, samples)


def _test_step(model: keras.Model, jit_compile: bool, data: Any) -> dict[str, Any]:
    """The evaluation of a batch of one replica, as `keras.Model.test_step`."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    samples = _samples(x)

    @_compiled(jit_compile)
    def compute(x: Any, y: Any, sample_weight: Any, share: tf.Tensor) -> tuple:
        outputs = model(x, training=False)
        loss = _loss(model, x, y, outputs, sample_weight, share, training=False)
        return outputs, loss

    outputs, loss = compute(x, y, sample_weight, _share(samples))
    return _logs(model, x, y, outputs, sample_weight, loss, samples)


def _loss(
    model: keras.Model,
    x: Any,
    y: Any,
    outputs: Any,
    sample_weight: Any,
    share: tf.Tensor,
    training: bool,
) -> tf.Tensor:
    """What this replica adds to the loss of the batch.

    Keras has divided means over samples, and all added losses, by the number of
    replicas; `share` makes them this replica's share of the mean over all samples.
    """
    import tensorflow as tf

    # A user's `compute_loss` may be one without the argument `training`.
    known = inspect.signature(type(model).compute_loss).parameters
    options = {"training": training} if "training" in known else {}
    loss = model.compute_loss(x, y, outputs, sample_weight, **options)
    share = tf.cast(share, loss.dtype)
    scaled = loss * share
    if _sums_samples(model):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        added = sum(map(tf.reduce_sum, model.losses), 0.0) / replicas
        scaled = loss + added * (share - 1.0)
    # The mean of no sample is not a number.
    return tf.where(share > 0.0, scaled, tf.zeros_like(scaled))


def _compiled(jit_compile: bool) -> Callable[[Callable], Callable]:
    """Decorates what a replica computes, for XLA or not at all.

    It is called whenever `fit` traces its step, so it never knows former weights.
    """
    import tensorflow as tf

    if not jit_compile or _is_tpu(tf.distribute.get_strategy()):
        return lambda function: function
    return tf.function(jit_compile=True)


def _samples(x: Any) -> tf.Tensor:
    """Number of samples of this replica."""
    import tensorflow as tf

    return tf.shape(next(x for x in keras.tree.flatten(x) if x is not None))[0]


def _share(samples: tf.Tensor) -> tf.Tensor:
    """The samples of this replica relative to the mean of all replicas."""
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return tf.ones(())
    count = tf.cast(samples, "float32")
    total = tf.distribute.get_replica_context().all_reduce("SUM", count)
    return count * replicas / total


def _logs(
    model: keras.Model,
    x: Any,
    y: Any,
    outputs: Any,
    sample_weight: Any,
    loss: tf.Tensor,
    samples: tf.Tensor,
) -> dict[str, Any]:
    """Updates the metrics of this replica and returns their values."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1:
        loss = tf.distribute.get_replica_context().all_reduce("SUM", loss)
    keras_internals.track_loss(model, loss, samples)
    logs = model.compute_metrics(x, y, outputs, sample_weight)
    if keras_internals.is_multi_worker(strategy):
        # Keras takes the mean over their first axis.
        logs = {name: tf.expand_dims(value, 0) for name, value in logs.items()}
    return logs


def _is_tpu(strategy: tf.distribute.Strategy) -> bool:
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.TPUStrategy)
