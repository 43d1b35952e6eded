"""Aligned families of keras-hub on other backends, in other precisions, and saved.

The default run takes a sample of them.
"""

import functools
import json
import pickle
import re
import tempfile

import families_on_backend
import isolated
import keras
import load_families
import numpy as np
import pytest
from keras_hub_models import FAMILIES
from keras_hub_models.exceptions import (
    LAYERS,
    NOT_CLONED,
    OTHERWISE,
    PLAIN_FAILS,
    RANDOM,
    REFUSED,
)

from keras_align.conversion import align_model

SAMPLE = ("gemma", "xlnet")
ALL = tuple(name for name in FAMILIES if name not in REFUSED)
# keras-hub adds float32 to bfloat16 there, plain too.
WITHOUT_BFLOAT16 = {"gemma2"}

pytestmark = [
    pytest.mark.slow_on("jax"),
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask"),
    pytest.mark.filterwarnings("ignore:.*was called on layer"),
]

names = pytest.mark.parametrize(
    "names", [SAMPLE, pytest.param(ALL, marks=pytest.mark.slow)], ids=["sample", "all"]
)


@functools.cache
def step_on(backend, policy, names):
    """Losses and norms of gradients of every family, see `families_on_backend.py`.

    In several processes, as XLA's programs for all of them exceed what one may map;
    what is computed eagerly needs fewer. The sample is computed eagerly on TensorFlow,
    in this process.
    """
    if (backend, policy, names) == ("tensorflow", "float32", SAMPLE):
        return {name: families_on_backend.result(name, eager=True) for name in names}
    environment = {"KERAS_BACKEND": backend, "XLA_FLAGS": isolated.QUICK_XLA}
    script, results = "families_on_backend.py", {}
    size = 24 if backend == "torch" or policy != "float32" else 8
    for some in (names[start : start + size] for start in range(0, len(names), size)):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            isolated.run(script, file.name, policy, *some, **environment)
            results |= json.load(file)
    return results


def different(backend, policy, names, tolerance, keys):
    """The families of which numbers are not TensorFlow's in float32, with both.

    Fails unless the plain model fails, and there are no numbers, where that is known.
    """
    received, wanted = (
        step_on(*each, names) for each in ((backend, policy), ("tensorflow", "float32"))
    )
    failing = set(names) & PLAIN_FAILS.get((backend, policy), set())
    assert {name for name in names if received[name] is None} == failing
    return {
        name: (received[name], wanted[name])
        for name in names
        if name not in failing
        and not close(received[name], wanted[name], tolerance, keys)
    }


def close(received, wanted, tolerance, keys):
    if not (isinstance(received, dict) and isinstance(wanted, dict)):
        return False  # an error
    return all(received[k] == pytest.approx(wanted[k], rel=tolerance) for k in keys)


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_losses_and_gradients_as_tensorflow(backend):
    check_backend(backend, SAMPLE)


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
def test_every_family_on_other_backends_and_in_other_precisions():
    """One test, so that one process computes what all is compared with."""
    for backend in ("jax", "torch"):
        check_backend(backend, ALL)
    for policy in ("mixed_bfloat16", "mixed_float16"):
        assert not different("tensorflow", policy, ALL, 0.2, ["aligned"])


def check_backend(backend, names):
    keys = ("aligned", "alignments", "model")
    found = different(backend, "float32", names, 2e-3, keys)
    known = {name for name in found if (backend, name) in OTHERWISE}
    assert found.keys() == known, found
    assert not [name for name in known if isinstance(found[name][0], str)]


@pytest.mark.slow
@names
def test_a_saved_model_loads_in_a_fresh_process(tmp_path, names):
    expected = {}
    for name in names:
        model, inputs = FAMILIES[name]()
        align_model(model, "mmd", 0.25, layers=LAYERS.get(name))
        model.save(tmp_path / f"{name}.keras")
        values = load_families.floats(model, inputs)
        assert np.isfinite(values).all(), name
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps((inputs, values)))
        expected[name] = load_families.what_is_aligned(model)
    isolated.run("load_families.py", tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    for name in names:
        rows, different = found[name]
        assert rows == expected[name]
        assert name in RANDOM or different < 1e-5


@names
def test_configs_and_dtypes(names):
    for name in names:
        model, inputs = FAMILIES[name]()
        align_model(model, "mmd", 0.25, layers=LAYERS.get(name))
        expected = load_families.what_is_aligned(model)
        config = model.get_config()
        again = type(model).from_config(dict(config))  # some change their argument
        assert load_families.what_is_aligned(again) == expected, name
        lower = type(model).from_config({**config, "dtype": "bfloat16"})
        assert load_families.what_is_aligned(lower) == expected, name
        if name in WITHOUT_BFLOAT16:
            with pytest.raises(Exception, match="bfloat16"):
                lower(inputs)
            continue
        assert np.isfinite(load_families.floats(lower, inputs)).all(), name


def classes(model):
    rows = load_families.what_is_aligned(model)
    return [row["class_name"].removeprefix("Aligned") for row in rows]


@pytest.mark.slow
def test_a_clone_is_aligned_wherever_a_plain_model_can_be_cloned():
    for name in ALL:
        model, _ = FAMILIES[name]()
        if name in NOT_CLONED:
            with pytest.raises(Exception, match=re.escape(NOT_CLONED[name])):
                keras.models.clone_model(model)
            continue
        plain = classes(keras.models.clone_model(model))
        align_model(model, "mmd", 0.25, layers=LAYERS.get(name))
        clone = keras.models.clone_model(model)
        assert classes(clone) == plain, name
        aligned = [each["alignment"] for each in load_families.what_is_aligned(clone)]
        assert "MaximumMeanDiscrepancy" in aligned, name
