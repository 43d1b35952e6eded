"""Trains an aligned model with a backup; may kill itself in the middle of an epoch.

Usage: python train_interrupted.py BACKUP OUTPUT [STEP]

With STEP the process dies by SIGKILL after that many steps.
"""

import os
import signal
import sys

import keras
import numpy as np
import small_models

import keras_align

EPOCHS = 3


class Killer(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(backup, output, step=None):
    keras.utils.set_random_seed(0)
    model = keras_align.align_model(small_models.classifier(), "ct")
    small_models.compile_model(model, "classifier")
    callbacks = [keras.callbacks.BackupAndRestore(backup)]
    callbacks += [Killer(int(step))] if step else []
    inputs, targets = small_models.data("classifier")
    model.fit(
        inputs,
        targets,
        batch_size=2,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    values = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
    np.savez(output, *values)


if __name__ == "__main__":
    main(*sys.argv[1:])
