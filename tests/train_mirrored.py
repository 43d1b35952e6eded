"""Trains on one CPU and mirrored on two logical ones, as a process of its own.

Usage: python train_mirrored.py FILE.json
"""

import json
import pathlib
import sys

import contracts
import keras
import tensorflow as tf

from keras_align import AdversarialAlignment
from keras_align.training import jit_compile_replicas

X, Y = contracts.tokens(5, batch=8), contracts.tokens(5, batch=8, seed=1)


def train(jit_compile=False):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((5, 8))
    for subject, alignment in (
        (contracts.MULTI_HEAD, "ct"),
        (contracts.GROUPED_QUERY, "mmd"),
        (contracts.MULTI_HEAD, AdversarialAlignment(learning_speed=1.0)),
    ):
        layer = subject.make(alignment, alignment_weight=1.0)
        x = layer(x, x) + layer(x, x, use_causal_mask=True)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    if jit_compile:
        jit_compile_replicas(model)
    logs = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    return {**logs, "weights": [float(tf.norm(w.value)) for w in model.weights]}


def main(file):
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    one_device = train()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        mirrored = [train(), train(jit_compile=True)]
    file.write_text(json.dumps([strategy.num_replicas_in_sync, one_device, *mirrored]))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
