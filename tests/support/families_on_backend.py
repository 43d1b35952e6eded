"""Takes the gradient of small aligned models of keras-hub on this process's backend.

Usage: KERAS_BACKEND=... python families_on_backend.py FILE.json POLICY FAMILY...

The step in float32 is compiled: by XLA on TensorFlow and JAX. Weights are the same on
every backend. The file gets, for every family, the sum of the alignment losses and the
norm of the gradient that arrives at the model's weights and at the alignments'; the
error; or `null` where the plain model fails too.
"""

import json
import pathlib
import sys
import zlib

import keras
import numpy as np
from keras import ops, tree
from keras_hub_models import FAMILIES
from keras_hub_models.exceptions import LAYERS

from keras_align import ConditionalTransportAlignment, align_model

# They read sizes from the values of their inputs, or use what XLA lacks.
EAGER = {"qwen3_5_vision", "sam3"}


def set_weights(model):
    """The same draw on every backend in the place of every random start."""
    for weight in model.weights:
        value = ops.convert_to_numpy(ops.cast(weight, "float32"))
        if value.size > 1 and np.ptp(value) > 0 and "float" in weight.dtype:
            generator = np.random.default_rng(zlib.crc32(weight.path.encode()))
            weight.assign(generator.normal(0.0, 0.2, value.shape).astype("float32"))


def without_noise(model):
    for layer in model._flatten_layers():
        for name in ("rate", "drop_prob"):
            if isinstance(vars(layer).get(name), float):
                setattr(layer, name, 0.0)


def of_floats(outputs):
    values = [ops.cast(x, "float32") for x in tree.flatten(outputs) if is_float(x)]
    return sum(ops.mean(ops.square(x)) for x in values)


def is_float(x):
    return "float" in keras.backend.standardize_dtype(getattr(x, "dtype", "int32"))


def gradients(model, inputs, eager):
    """Sum of the alignment losses, and the gradients of the trainable weights."""
    return globals()[f"gradients_on_{keras.backend.backend()}"](model, inputs, eager)


def gradients_on_tensorflow(model, inputs, eager):
    import tensorflow as tf

    def step(inputs):
        with tf.GradientTape() as tape:
            outputs = of_floats(model(inputs, training=True))
            aligned = sum(model.losses)
            loss = outputs + aligned
        weights = [weight.value for weight in model.trainable_variables]
        return aligned, tape.gradient(loss, weights, unconnected_gradients="zero")

    inputs = tree.map_structure(tf.convert_to_tensor, inputs)
    return (step if eager else tf.function(step, jit_compile=True))(inputs)


def gradients_on_jax(model, inputs, eager):
    import jax

    def loss(trainable, fixed, inputs):
        outputs, _, losses = model.stateless_call(
            trainable, fixed, inputs, training=True, return_losses=True
        )
        return of_floats(outputs) + sum(losses), sum(losses)

    step = jax.value_and_grad(loss, has_aux=True)
    variables = model.trainable_variables, model.non_trainable_variables
    values = [[v.value for v in each] for each in variables]
    (_, aligned), found = (step if eager else jax.jit(step))(*values, inputs)
    return aligned, found


def gradients_on_torch(model, inputs, eager):
    import torch

    outputs = of_floats(model(inputs, training=True))
    aligned = sum(model.losses)
    (outputs + aligned).backward()
    weights = [weight.value for weight in model.trainable_variables]
    return aligned, [torch.zeros(1) if w.grad is None else w.grad for w in weights]


def norm(values):
    squares = [np.sum(ops.convert_to_numpy(x).astype("float64") ** 2) for x in values]
    return float(np.sqrt(sum(squares)))


def start_again():
    """Lets names be counted from the start, as `set_weights` draws by names."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)


def result(name, aligned=True, eager=False):
    start_again()
    model, inputs = FAMILIES[name]()
    if aligned:
        # Of all tokens, as every backend draws others.
        alignment = ConditionalTransportAlignment(max_tokens=None)
        align_model(model, alignment, alignment_weight=1.0, layers=LAYERS.get(name))
    set_weights(model)
    without_noise(model)
    loss, found = gradients(model, inputs, eager or name in EAGER)
    own = {
        id(weight)
        for layer in model._flatten_layers()
        if getattr(layer, "alignment", None)
        for weight in layer.alignment.trainable_variables
    }
    weights = model.trainable_variables
    of_alignments = {True: [], False: []}
    for gradient, weight in zip(found, weights, strict=True):
        of_alignments[id(weight) in own].append(ops.cast(gradient, "float32"))
    values = {
        "aligned": float(ops.convert_to_numpy(loss)),
        "alignments": norm(of_alignments[True]),
        "model": norm(of_alignments[False]),
    }
    if not np.isfinite(list(values.values())).all():
        raise ValueError(f"not finite: {values}")
    return values


def fails(name, eager):
    """Whether a step of the plain model raises or is not finite."""
    try:
        result(name, aligned=False, eager=eager)
    except Exception:
        return True
    return False


def main(file, policy, names):
    keras.config.set_dtype_policy(policy)
    eager, results = policy != "float32", {}
    for name in names:
        try:
            results[name] = result(name, eager=eager)
        except Exception as error:
            error = f"{type(error).__name__}: {error}"[:1500]
            results[name] = None if fails(name, eager) else error
        file.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
