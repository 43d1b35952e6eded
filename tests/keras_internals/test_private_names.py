"""Private names of Keras: those of the ledger exist, and no others are used."""

import importlib
import operator
import pathlib
import re

import keras
import private_names
import pytest

import keras_align
from keras_align.keras_internals import ledger

PACKAGE = pathlib.Path(keras_align.__file__).parent
REPOSITORY = pathlib.Path(__file__).parents[2]
ROOM = PACKAGE / "keras_internals"
NAMES = {part for entry in ledger.LEDGER for part in [entry.name.split(".")[0]]}


def compiled_model():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model


def built_optimizer():
    optimizer = keras.optimizers.AdamW(gradient_accumulation_steps=2, use_ema=True)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build([keras.Variable([1.0])])
    return optimizer


def built_layer():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    return layer


def epoch_iterator():
    import numpy as np
    from keras.src.trainers.epoch_iterator import EpochIterator

    return EpochIterator(np.ones((4, 2)), batch_size=2)


# What has the names of a class that only instances have.
INSTANCES = {
    ledger.LAYER: built_layer,
    ledger.MODEL: compiled_model,
    ledger.OPTIMIZER: built_optimizer,
    ledger.ITERATOR: epoch_iterator,
    "keras.KerasTensor": lambda: keras.Input((2,)),
}


def owner_of(entry):
    if entry.owner in INSTANCES:
        return INSTANCES[entry.owner]()
    if entry.owner.startswith("keras.src."):
        return importlib.import_module(entry.owner)
    package, attribute = entry.owner.split(".", 1)
    return operator.attrgetter(attribute)(importlib.import_module(package))


@pytest.mark.parametrize("entry", ledger.LEDGER, ids=lambda x: f"{x.owner}:{x.name}")
def test_the_installed_keras_has_each_name(entry):
    if entry.backend not in (None, keras.backend.backend()):
        pytest.skip(f"only {entry.backend} has it")
    operator.attrgetter(entry.name)(owner_of(entry))  # raises if there is none


def test_names_are_as_old_as_the_oldest_keras_that_is_allowed():
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    oldest = re.search(r'"keras>=([\d.]+)', setup)[1]
    for entry in ledger.LEDGER:
        assert version(entry.since) <= version(oldest), entry


def version(text):
    return tuple(map(int, text.split(".")))


def sources(folder):
    return [x for x in folder.rglob("*.py") if ROOM not in x.parents]
