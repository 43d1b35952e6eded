"""Trains aligned models with a backup and kills them, in processes of its own.

Usage: python train_interrupted.py FOLDER BACKUP MODE STEP...

BACKUP is keras (`keras.callbacks.BackupAndRestore`) or ours (`BackupAndResume`, with
dropout, shuffled data and a schedule), MODE is graph or eager. For each STEP one
process dies by SIGKILL after that many steps, or for "writing:STEP" while it writes the
first backup from there on, and another goes on to the end. Writes what they end with,
`FOLDER/whole.npz` of one that was not interrupted and `FOLDER/STEP.npz`.
"""

import os
import pathlib
import signal
import sys

import keras
import keras_nlp
import numpy as np
import small_models

import keras_align
from keras_align.training import ShuffledBatches

EPOCHS, STEPS = 3, 4  # in an epoch


class Killer(keras.callbacks.Callback):
    """Kills its process after the optimizer's step `step`."""

    def __init__(self, step):
        super().__init__()
        *writing, step = step.split(":")
        self.step, self.writing = int(step), bool(writing)

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            if not self.writing:
                os.kill(os.getpid(), signal.SIGKILL)
            os.fsync = tear


def tear(file):
    """Kills its process when half of a file has been written."""
    os.truncate(file, os.fstat(file).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def build(dropout, eager):
    keras.utils.set_random_seed(0)
    backbone = keras_nlp.models.BertBackbone.from_config(
        {**small_models.backbone().get_config(), "dropout": dropout}
    )
    model = keras_nlp.models.BertTextClassifier(backbone, 2, dropout=dropout)
    keras_align.align_model(model, "ct")
    schedule = keras.optimizers.schedules.PolynomialDecay(1e-2, EPOCHS * STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    mode = {"run_eagerly": eager, "jit_compile": False}
    model.compile(keras.optimizers.AdamW(schedule), loss, metrics=["accuracy"], **mode)
    return model


def train(kind, mode, backup, output, kill_at=None):
    model = build(0.0 if kind == "keras" else 0.2, eager=mode == "eager")
    inputs, targets = small_models.data("classifier")
    if kind == "keras":
        data, more = (inputs, targets), {"batch_size": 2}
        callbacks = [keras.callbacks.BackupAndRestore(backup)]
    else:
        batches = ShuffledBatches(inputs, targets, batch_size=2, seed=3)
        data, more = (batches.as_dataset(),), {}
        callbacks = [
            keras_align.AlignmentWeightSchedule(warmup_steps=6),
            keras_align.BackupAndResume(backup, save_freq=3, data=batches),
        ]
    callbacks += [Killer(kill_at)] if kill_at else []
    fit = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, "callbacks": callbacks}
    history = model.fit(*data, **more, **fit).history
    assert not list(pathlib.Path(backup).glob("*"))
    variables = [*model.variables, *model.optimizer.variables]
    values = {
        f"{i} {v.path}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)
    }
    logs = {f"last {name}": history[name][-1] for name in history}
    np.savez(output, **values, **logs)


def in_a_process(*arguments):
    """Calls `train` in a process of its own; returns its exit status."""
    child = os.fork()
    if child == 0:
        try:
            train(*arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder, kind, mode, *steps):
    folder = pathlib.Path(folder)
    assert in_a_process(kind, mode, folder / "whole", folder / "whole.npz") == 0
    for step in steps:
        output, backup = folder / f"{step}.npz", folder / f"backup_{step}"
        killed = in_a_process(kind, mode, backup, output, step)
        assert killed == -signal.SIGKILL and not output.exists()
        assert len(list(backup.glob("*.part"))) == step.startswith("writing")
        assert in_a_process(kind, mode, backup, output) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
