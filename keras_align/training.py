"""XLA in the replicas of a `tf.distribute` strategy, where Keras's `fit` has none."""

import functools

import keras


def jit_compile_replicas(model):
    """Lets `fit` compute losses and gradients under XLA on every replica.

    Under `tf.distribute.MirroredStrategy`, `compile(jit_compile=True)` puts the whole
    distributed step under XLA and fails, as the reduction between the replicas cannot
    be there. Here only what one replica computes is compiled; gradients are reduced
    and applied outside. Everything else is Keras's: `fit` with its callbacks, metrics
    and checkpoints. Without a strategy it is `jit_compile=True` without the optimizer.

    Args:
        model: `keras.Model` on the TensorFlow backend, compiled with
            `jit_compile=False`, without a `train_step` of its own.

    Returns:
        `model`.

    Raises:
        ValueError: if `model` is not as described.

    Example:

    >>> inputs = keras.Input((5, 8))
    >>> layer = keras_align.AlignedMultiHeadAttention(2, 4)
    >>> model = keras.Model(inputs, layer(inputs, inputs))
    >>> model.compile("adam", "mse", jit_compile=False)
    >>> model = keras_align.training.jit_compile_replicas(model)
    >>> x = np.ones((8, 5, 8))
    >>> history = model.fit(x, x, verbose=0)
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`jit_compile_replicas` is for the TensorFlow backend: others compile the "
            f"step as they are. Received: backend {keras.backend.backend()}"
        )
    _check(model)
    model.train_step = functools.partial(_train_step, model)
    model.train_function = None
    return model


def _check(model):
    own = type(model).train_step is not keras.Model.train_step
    if not model.compiled or model.jit_compile or model.run_eagerly or own:
        raise ValueError(
            "Argument `model` must be compiled with `jit_compile=False` and "
            "`run_eagerly=False`, and have no `train_step` of its own. Received: "
            f"{type(model).__name__} '{model.name}' with compiled={model.compiled}, "
            f"jit_compile={model.compiled and model.jit_compile}, "
            f"run_eagerly={model.compiled and model.run_eagerly}, "
            f"train_step of its own={own}"
        )


def _train_step(model, data):
    """One step of one replica, as `keras.Model.train_step`."""
    import tensorflow as tf

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    weights = model.trainable_weights

    # Made anew whenever `fit` traces its step, so it never knows former weights.
    @tf.function(jit_compile=True)
    def compute(x, y, sample_weight):
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x, y, outputs, sample_weight, training=True)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [each.value for each in weights])
        return outputs, loss, gradients

    outputs, loss, gradients = compute(x, y, sample_weight)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    samples = tf.shape(keras.tree.flatten(x)[0])[0]
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss * replicas, sample_weight=samples)
    model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return model.compute_metrics(x, y, outputs, sample_weight)
