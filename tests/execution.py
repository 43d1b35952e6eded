"""Runs a function and its gradient on TensorFlow: eagerly, as a graph, under XLA."""

import keras
import numpy as np
import tensorflow as tf

MODES = ("eager", "graph", "xla")


def value_and_gradients(function, *inputs, mode="eager", watch=()):
    """Value of `function(*inputs)` and gradients of its sum.

    Args:
        function: returns one float tensor.
        *inputs: NumPy arrays.
        mode: `"eager"`, `"graph"` or `"xla"`.
        watch: keras variables to differentiate by, besides the inputs.

    Returns:
        Array, and list of arrays: for the inputs, then for `watch`; zeros where
        nothing arrives.
    """
    tensors = [tf.convert_to_tensor(array) for array in inputs]
    variables = [variable.value for variable in watch]

    def compute(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
            total = tf.reduce_sum(value)
        sources = [*tensors, *variables]
        zero = tf.UnconnectedGradients.ZERO
        return value, tape.gradient(total, sources, unconnected_gradients=zero)

    if mode != "eager":
        compute = tf.function(compute, jit_compile=mode == "xla")
    value, gradients = compute(*tensors)
    return np.array(value), [keras.ops.convert_to_numpy(each) for each in gradients]
