"""Trains under a strategy of `tf.distribute`, as a process of its own.

Usage: python train_distributed.py FILE.json STRATEGY JIT SETTING...

STRATEGY is one, mirrored (on two logical CPUs) or multiworker (as the variable
TF_CONFIG says); JIT is 0 or 1. Writes what `fit` and `evaluate` log and the norms of
the final weights, for each of the settings.
"""

import json
import pathlib
import sys

import contracts
import keras
import tensorflow as tf

from keras_align import AdversarialAlignment, ConditionalTransportAlignment
from keras_align.training import distribute

# Batches of 4, 4 and 1: the last leaves a replica without a sample.
X, Y = contracts.tokens(5, batch=9), contracts.tokens(5, batch=9, seed=1)
SETTINGS = {
    "plain": {},
    "single": {"layers": 1},
    "even": {"samples": 8},
    "accumulated": {"optimizer": {"gradient_accumulation_steps": 2}, "layers": 1},
    "several": {
        "steps_per_execution": 2,
        "optimizer": {"weight_decay": 0.1},
        "layers": 1,
    },
    "all accumulated": {"optimizer": {"gradient_accumulation_steps": 2}},
    "all several": {"steps_per_execution": 2},
    "float16": {"precision": "mixed_float16"},
    # What is done with gradients, and a loss that is no mean.
    "clipped": {
        "optimizer": {"gradient_accumulation_steps": 2, "global_clipnorm": 0.1},
        "layers": 0,
    },
    "averaged": {
        "optimizer": {
            "gradient_accumulation_steps": 2,
            "use_ema": True,
            "ema_momentum": 0.5,
            "ema_overwrite_frequency": 3,
        },
        "layers": 0,
    },
    "summed": {"loss": keras.losses.MeanSquaredError(reduction="sum"), "layers": 1},
    "overflow": {"precision": "mixed_float16", "layers": 0, "largest": 500.0},
}


ALIGNMENTS = (
    (contracts.GROUPED_QUERY, "mmd"),
    (contracts.MULTI_HEAD, ConditionalTransportAlignment(max_tokens=3)),
    (contracts.MULTI_HEAD, AdversarialAlignment(learning_rate_multiplier=1.0)),
    (contracts.MULTI_HEAD, "ot"),
)


def build(precision="float32", optimizer=None, layers=4, loss="mse", **options):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    inputs = keras.Input((5, 8))
    x = keras.layers.Dense(8)(inputs)
    for subject, alignment in ALIGNMENTS[:layers]:
        layer = subject.make(alignment, alignment_weight=1.0)
        x = layer(x, x)
    model = keras.Model(inputs, x)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, **(optimizer or {}))
    model.compile(optimizer, loss, metrics=["mae"], jit_compile=False, **options)
    return model


def train(strategy, jit_compile, samples=9, largest=1.0, **options):
    with strategy.scope():
        model = build(**options)
    distribute(model, jit_compile=jit_compile)
    fit = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    x, y = X[:samples], Y[:samples].copy()
    y[3] *= largest  # of the second replica alone
    logs = model.fit(x, y, validation_data=(x, y), **fit).history
    scale = getattr(model.optimizer, "dynamic_scale", 1.0)
    weights = [float(tf.norm(weight.value)) for weight in model.weights]
    return {
        **logs,
        "scale": [float(keras.ops.convert_to_numpy(scale))],
        "steps": [int(model.optimizer.iterations.numpy())],
        "weights": weights,
    }


def make(name):
    if name == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "one":
        return tf.distribute.get_strategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def main(file, name, jit_compile, *settings):
    strategy = make(name)
    found = {
        setting: train(strategy, bool(int(jit_compile)), **SETTINGS[setting])
        for setting in settings
    }
    found["replicas"] = strategy.num_replicas_in_sync
    pathlib.Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
