"""Runs a function and its gradient on the backend: eagerly, as a graph, under XLA."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
MODES = {
    "tensorflow": ("eager", "graph", "xla"),
    "jax": ("eager", "xla"),
    "torch": ("eager",),
}[BACKEND]


# What `jit_compile` is in tests: PyTorch's compiler takes minutes for a small model.
JIT = BACKEND != "torch"
# What it is in quick tests: without it, JAX compiles a step operation by operation.
QUICK_JIT = BACKEND == "jax"
# For `compile`: TensorFlow takes seconds to trace a step, which is not their subject.
QUICK_STEP = {"jit_compile": QUICK_JIT, "run_eagerly": not QUICK_JIT}
# JAX compiles every operation alone, or all of them at once in a fifth of the time.
QUICKEST = "xla" if BACKEND == "jax" else "eager"


def value_and_gradients(function, *inputs, mode=QUICKEST, watch=()):
    """Value of `function(*inputs)` and gradients of its sum.

    Args:
        function: returns one float tensor.
        *inputs: NumPy arrays.
        mode: one of `MODES`.
        watch: keras variables to differentiate by, besides the inputs.

    Returns:
        Array, and list of arrays: for the inputs, then for `watch`; zeros where
        nothing arrives.
    """
    compute = globals()[f"_on_{BACKEND}"]
    value, gradients = compute(function, inputs, mode, list(watch))
    return ops.convert_to_numpy(value), [ops.convert_to_numpy(x) for x in gradients]


def dtype_of(x):
    """The dtype of an array or tensor by its name."""
    return keras.backend.standardize_dtype(x.dtype)


def array(x):
    """A tensor as NumPy array, float32 for the types that NumPy lacks."""
    x = ops.cast(x, "float32") if dtype_of(x) == "bfloat16" else x
    return ops.convert_to_numpy(x)


def quick(function):
    """The function as `QUICKEST` says."""
    return compiled(function) if QUICKEST == "xla" else function


def compiled(function):
    """The function under XLA where the backend has it."""
    if BACKEND == "torch":
        return function
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def training_step(loss, variables, optimizer):
    """A function that takes a step of `optimizer` on `loss()`, under XLA if it can.

    Args:
        loss: function without arguments that returns a scalar tensor.
        variables: list of keras variables.
        optimizer: `keras.optimizers.Optimizer`, built for them.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def step():
            with tf.GradientTape() as tape:
                value = loss()
            gradients = tape.gradient(value, [each.value for each in variables])
            optimizer.apply(gradients, variables)

        return step

    if BACKEND == "jax":
        import jax

        gradient = jax.jit(jax.grad(_stateless(loss, variables)))
        return lambda: optimizer.apply(
            gradient([v.value for v in variables]), variables
        )
    return lambda: optimizer.apply(_on_torch(loss, (), "", variables)[1], variables)


def _on_tensorflow(function, inputs, mode, watch):
    import tensorflow as tf

    def compute(*tensors):
        variables = [variable.value for variable in watch]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
            total = tf.reduce_sum(value)
        sources = [*tensors, *variables]
        zero = tf.UnconnectedGradients.ZERO
        return value, tape.gradient(total, sources, unconnected_gradients=zero)

    if mode != "eager":
        compute = tf.function(compute, jit_compile=mode == "xla")
    return compute(*map(tf.convert_to_tensor, inputs))


def _stateless(function, variables):
    """A function of the values of the variables, then of the arguments."""

    def compute(values, *arguments):
        pairs = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=pairs, collect_losses=True):
            return function(*arguments)

    return compute


def _on_jax(function, inputs, mode, watch):
    import jax

    def total(tensors, values):
        value = _stateless(function, watch)(values, *tensors)
        return value.sum(), value

    compute = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
    if mode == "xla":
        compute = jax.jit(compute)
    tensors = tuple(map(ops.convert_to_tensor, inputs))
    (_, value), (first, second) = compute(tensors, [each.value for each in watch])
    return value, [*first, *second]


def _on_torch(function, inputs, mode, watch):
    import torch

    with torch.enable_grad():
        tensors = [torch.tensor(np.array(x), requires_grad=True) for x in inputs]
        value = function(*tensors)
        sources = [*tensors, *(variable.value for variable in watch)]
        found = torch.autograd.grad(value.sum(), sources, allow_unused=True)
    zeros = map(torch.zeros_like, sources)
    return value, [z if g is None else g for g, z in zip(found, zeros, strict=True)]
