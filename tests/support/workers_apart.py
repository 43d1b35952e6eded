"""Two workers of which each has a folder of its own, one with a backup.

Usage: python workers_apart.py FOLDER, with the variable TF_CONFIG. Prints the error.
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from small_runs import build, fit

from keras_align.callbacks.backup_file import BackupFile
from keras_align.callbacks.position import Position
from keras_align.training import distribute


def main(folder):
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    worker = strategy.cluster_resolver.task_id
    folder = pathlib.Path(folder) / str(worker)
    if worker == 1:
        BackupFile(folder).write(Position(2, 2, 2, 2), {"random": np.zeros(0)})
    with strategy.scope():
        model = build()
        model.compile(keras.optimizers.SGD(), "mse", jit_compile=False)
    try:
        fit(distribute(model, jit_compile=False), folder)
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
