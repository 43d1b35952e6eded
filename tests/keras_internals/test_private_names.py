"""Private names of Keras: those of the ledger exist, and no others are used."""

import importlib
import operator
import pathlib
import re

import keras
import numpy as np
import private_names

from keras_align.keras_internals import ledger

REPOSITORY = pathlib.Path(__file__).parents[2]
PACKAGE = REPOSITORY / "keras_align"
ALLOWED = PACKAGE / "keras_internals"
NAMES = {entry.name.split(".")[0] for entry in ledger.LEDGER}
MODULES = {entry.owner.split(".")[-1] for entry in ledger.LEDGER}
# Where else private names stand, by file.
REMAINING = {
    # Not Keras's, but attributes of classes of keras-hub.
    "adapters/keras_hub_attention.py": {"_apply_rotary", "_qkv_dense"},
    "adapters/usual_names.py": {
        "_head_dim",
        "_num_key_value_heads",
        "_num_query_heads",
    },
    # Overridden.
    "layers/aligned_attention.py": {"_clear_losses", "_get_own_losses", "_post_build"},
}


def fitted_model():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
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


def grouped_attention():
    layer = keras.layers.GroupQueryAttention(2, 2, 1)
    layer.build((None, 3, 4), (None, 3, 4))
    return layer


# What has the names of a class that only instances have.
INSTANCES = {
    ledger.LAYER: built_layer,
    ledger.MODEL: fitted_model,
    ledger.OPTIMIZER: built_optimizer,
    ledger.GROUPED: grouped_attention,
    "keras.KerasTensor": lambda: keras.Input((2,)),
}


def owner_of(entry):
    if entry.owner in INSTANCES:
        return INSTANCES[entry.owner]()
    if entry.owner.startswith("keras.src."):
        return importlib.import_module(entry.owner)
    package, attribute = entry.owner.split(".", 1)
    return operator.attrgetter(attribute)(importlib.import_module(package))


def test_the_installed_keras_has_each_name():
    backends = None, keras.backend.backend()
    for entry in ledger.LEDGER:
        if entry.backend in backends:
            operator.attrgetter(entry.name)(owner_of(entry))  # raises if there is none


def test_names_are_as_old_as_the_oldest_keras_that_is_allowed():
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    oldest = re.search(r'"keras>=([\d.]+)', setup)[1]
    for entry in ledger.LEDGER:
        assert version(entry.since) <= version(oldest), entry


def version(text):
    return tuple(map(int, text.split(".")))


def sources():
    folders = PACKAGE, REPOSITORY / "examples", REPOSITORY / "benchmarks"
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def test_private_names_are_used_in_one_folder():
    own = private_names.defined_in(sources())
    for file in sources():
        if ALLOWED not in file.parents:
            place = file.relative_to(REPOSITORY).as_posix().removeprefix("keras_align/")
            used = set(private_names.used_in(file, own, NAMES))
            assert used == REMAINING.get(place, set()), place


def test_the_ledger_has_what_is_overridden():
    classes = keras.Model, keras.metrics.Metric, keras.callbacks.Callback
    of_keras = {name for each in classes for name in dir(each)}
    own = private_names.defined_in(sources())
    assert {x for x in own & of_keras if private_names.PRIVATE.fullmatch(x)} <= NAMES


def test_the_ledger_is_what_is_used():
    files = [file for file in sources() if file != ALLOWED / "ledger.py"]
    own = private_names.defined_in(files)
    used = {
        file: set(private_names.used_in(file, own, NAMES))
        for file in files
        if PACKAGE in file.parents
    }
    assert set().union(*used.values()) >= NAMES
    here = [names for file, names in used.items() if ALLOWED in file.parents]
    assert set().union(*here) <= NAMES | MODULES


SOURCE = """
import os
from keras.src.backend import AutocastScope
class Own(keras.Layer):
    def _own(self):
        self._kept = self._layers
        self.other._own(self._kept, keras_layer._kept)
        return getattr(self, "_attention_axes"), model._trained, "a _text", os._exit
    def _clear_losses(self):
        pass
"""


def test_private_names_are_found(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(SOURCE, encoding="utf-8")
    own = private_names.defined_in([file])
    assert sorted(private_names.used_in(file, own, {"_clear_losses"})) == [
        "AutocastScope",
        "_attention_axes",
        "_clear_losses",
        "_layers",
        "_trained",
    ]
