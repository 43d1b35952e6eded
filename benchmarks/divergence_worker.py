"""One step of one divergence in one library, in a process of its own.

    python benchmarks/divergence_worker.py LIBRARY DIVERGENCE TOKENS FILE

The process writes the value and the gradients of the queries to FILE, says "ready", and
then takes a step for every line that it reads and answers with its CPU seconds. It runs
on one processor.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import peers


def ours(divergence, tokens, **options):
    """A step of keras_align on the backend of Keras, compiled by XLA or as PyTorch."""
    import keras

    import keras_align

    query, key, weights = peers.problem(tokens)
    query, key = (keras.ops.convert_to_tensor(x, "float32") for x in (query, key))
    alignment = alignment_of(keras_align, divergence, **options)
    alignment.build(query.shape, key.shape)
    values = peers.used_by(divergence, weights)
    flat = [value for pair in values.values() for value in pair]
    for variable, value in zip(alignment.trainable_variables, flat, strict=True):
        variable.assign(value / multiplier_of(alignment, variable))
    return STEPS[keras.backend.backend()](alignment, query, key)


def alignment_of(keras_align, divergence, **options):
    """The alignment, on all tokens."""
    return {
        "ct": lambda: keras_align.ConditionalTransportAlignment(max_tokens=None),
        "gan": lambda: keras_align.AdversarialAlignment(max_tokens=None),
        "mmd": lambda: keras_align.MaximumMeanDiscrepancyAlignment(max_tokens=None),
        "ot": lambda: keras_align.OptimalTransportAlignment(
            epsilon=peers.EPSILON,
            tolerance=peers.TOLERANCE,
            max_tokens=None,
            **options,
        ),
    }[divergence]()


def multiplier_of(alignment, variable):
    """What a stored weight is multiplied by at use."""
    if "navigator" in variable.path:
        return alignment.navigator_learning_rate_multiplier
    if hasattr(alignment, "learning_rate_multiplier"):
        return alignment.learning_rate_multiplier
    return alignment.critic_learning_rate_multiplier


def tensorflow_step(alignment, query, key):
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def step(query, key):
        with tf.GradientTape() as tape:
            tape.watch([query, key])
            value = alignment(query, key)
            total = tf.reduce_sum(value)
        inputs = [query, key, *alignment.trainable_variables]
        return value, tape.gradient(total, inputs)

    return lambda: step(query, key)


def jax_step(alignment, query, key):
    import jax

    weights = [v.value for v in alignment.trainable_variables]
    state = [v.value for v in alignment.non_trainable_variables]

    def total(query, key, weights):
        value, _ = alignment.stateless_call(weights, state, query, key)
        return value.sum(), value

    compiled = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))

    def step():
        (_, value), gradients = compiled(query, key, weights)
        return jax.block_until_ready((value, gradients))

    return step


def torch_step(alignment, query, key):
    import torch

    torch.set_num_threads(1)
    query, key = query.requires_grad_(), key.requires_grad_()
    inputs = [query, key, *(v.value for v in alignment.trainable_variables)]

    def step():
        value = alignment(query, key)
        return value, torch.autograd.grad(value.sum(), inputs)

    return step


STEPS = {"tensorflow": tensorflow_step, "jax": jax_step, "torch": torch_step}


def main(library, divergence, tokens, file):
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, [int(os.environ.get("PROCESSOR", "0"))])
    if library.startswith("keras_align"):
        converged = library.endswith("converged")  # as the peers, not 30 iterations
        options = {"max_iterations": peers.MAX_ITERATIONS} if converged else {}
        step = ours(divergence, int(tokens), **options)
    else:
        step = getattr(peers, library)(divergence, int(tokens))
    value, gradients = step()
    step()
    value, gradient = (
        np.asarray(x.detach() if hasattr(x, "detach") else x)
        for x in (value, gradients[0])
    )
    np.savez(file, value=value, gradient=gradient)
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        begin = time.process_time()
        step()
        print(json.dumps(time.process_time() - begin), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
