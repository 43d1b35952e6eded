"""What `AlignmentMonitor` refuses, and the names that it gives."""

import subprocess
import sys

import contracts
import keras
import numpy as np
import pytest
from contracts import tokens
from execution import QUICK_STEP, array

from keras_align.callbacks import AlignmentMonitor

X = tokens(5, batch=8)


def masked_attention(alignment):
    inputs = keras.Input((5, 8), name="tokens")
    mask = keras.Input((5,), dtype="bool", name="mask")
    layer = contracts.MULTI_HEAD.make(alignment)
    x = layer(inputs, inputs, attention_mask=mask[:, None])
    model = keras.Model({"tokens": inputs, "mask": mask}, x)
    model.compile("sgd", "mse", **QUICK_STEP)
    return model


def fit(model, monitor):
    inputs = {"tokens": X, "mask": np.ones((8, 5), bool)}
    model.fit(inputs, X, verbose=0, callbacks=[monitor])


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequency": 0},
        {"frequency": "batch"},
        {"bandwidth": 0.0},
        {"batch_size": 0},
        {"max_tokens": 1},
        {"seed": -1},
        {"name": ""},
        {"log_dir": "gs://bucket/logs"},
        {"csv_path": "https://host/file.csv"},
    ],
)
def test_wrong_arguments_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        AlignmentMonitor(**wrong)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"tokens": X, "mask": np.ones((3, 5), bool)}, "equally many samples"),
        ({"tokens": X, "mask": np.zeros((8, 5), bool)}, "one real token"),
        (["a text"], "`preprocessor`"),
    ],
)
def test_wrong_inputs_are_an_error_before_the_first_step(inputs, message):
    model = masked_attention("mmd")
    with pytest.raises(ValueError, match=message):
        fit(model, AlignmentMonitor(inputs))
    assert int(array(model.optimizer.iterations)) == 0


def test_a_model_without_attention_is_an_error():
    plain = keras.Sequential([keras.Input((5, 8)), keras.layers.Dense(8)])
    plain.compile("sgd", "mse", **QUICK_STEP)
    with pytest.raises(ValueError, match="has no supported attention layer"):
        plain.fit(X, X, verbose=0, callbacks=[AlignmentMonitor(X)])
    with pytest.raises(ValueError, match="has no aligned attention layer.*`inputs`"):
        fit(masked_attention(None), AlignmentMonitor())


def test_importing_needs_no_package_for_pictures_or_logs():
    packages = {"matplotlib", "tensorboard"}
    code = (
        "import sys, keras; before = set(sys.modules)\n"
        "import keras_align.callbacks.alignment_monitor\n"
        f"print(sorted({packages} & (set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_two_monitors_of_one_name_are_warned_about():
    model = masked_attention("mmd")
    inputs = {"tokens": X, "mask": np.ones((8, 5), bool)}
    monitors = [AlignmentMonitor(inputs) for _ in range(2)]
    with pytest.warns(UserWarning, match="another `name`"):
        model.fit(inputs, X, verbose=0, callbacks=monitors)
    monitors[1] = AlignmentMonitor(inputs, name="other")
    history = model.fit(inputs, X, verbose=0, callbacks=monitors).history
    assert {"alignment/total_mmd", "other/total_mmd"} <= set(history)
