"""Converted models survive saving, and a process that knows only the files."""

import json
import re
import zipfile

import isolated
import keras
import numpy as np
import pytest
import small_models
from model_state import nameless, rows
from parameters import slow_but

from keras_align.conversion import align_model, strip_alignment

NAMES = list(small_models.BUILDERS)
FEW = ["functional"]
SLOW = pytest.mark.slow
# keras-hub tasks do not compile when they are loaded, plain or aligned.
TRAINED = ["functional", "shared", "transformer"]
OPTIONAL = "matplotlib", "sklearn", "keras_hub", "keras_nlp", "tensorflow_text", "ot"
pytestmark = [
    pytest.mark.slow_on("jax"),
    pytest.mark.filterwarnings("ignore:.*compile.* was not called as part"),
    # Keras on TensorFlow converts each variable that it saves in this way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),
]


@pytest.fixture(scope="module", params=[FEW, pytest.param(NAMES, marks=SLOW)])
def reloaded(request, tmp_path_factory):
    """What is expected of each saved model, and what a fresh process found."""
    names = request.param
    folder = tmp_path_factory.mktemp("models")
    expected = {}
    for name in names:
        model = small_models.aligned(name)
        if name in TRAINED:
            small_models.compile_model(model, name)
            small_models.train(model, name)
        model.save(folder / f"{name}.keras")
        expected[name] = {
            "rows": rows(model),
            "values": small_models.predict(model, name),
        }
        if name in TRAINED:
            expected[name]["losses"] = small_models.train(model, name)
    isolated.run("fresh_process.py", folder)
    found = json.loads((folder / "results.json").read_text())
    for name in names:
        found[name]["values"] = np.load(folder / f"{name}.loaded.npy")
    return expected, found


def test_a_fresh_process_loads_the_aligned_model(reloaded):
    for expected, found in pairs(reloaded):
        assert nameless(found["rows"]) == nameless(expected["rows"])
        np.testing.assert_allclose(found["values"], expected["values"], rtol=1e-6)


def test_a_fresh_process_goes_on_training_with_the_same_loss(reloaded):
    trained = [each for each in pairs(reloaded) if "losses" in each[0]]
    assert trained
    for expected, found in trained:
        np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-5)


def pairs(reloaded):
    expected, found = reloaded
    return [(expected[name], found[name]) for name in expected]


@pytest.mark.parametrize("name", slow_but(("pieces", "classifier"), NAMES))
def test_weights_files_go_from_one_aligned_model_to_another(tmp_path, name):
    model, other = small_models.aligned(name), small_models.aligned(name)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert len(model.weights) == len(other.weights)
    for weight, read in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), read.numpy())


def test_the_files_of_a_stripped_model_do_not_mention_the_library(tmp_path):
    for name in ("backbone", "nested", "subclassed"):
        file = tmp_path / f"{name}.keras"
        strip_alignment(small_models.aligned(name)).save(file)
        with zipfile.ZipFile(file) as archive:
            assert "align" not in archive.read("config.json").decode()


def save_with_values(model, folder, name):
    model.save(folder / f"{name}.keras")
    inputs = small_models.vectors()
    np.save(folder / f"{name}.inputs.npy", inputs)
    outputs = keras.ops.convert_to_numpy(model(inputs, training=False))
    np.save(folder / f"{name}.outputs.npy", outputs)


@pytest.mark.slow
def test_files_need_no_package_of_the_examples(tmp_path):
    save_with_values(small_models.aligned("functional"), tmp_path, "functional")
    isolated.run("load_without.py", tmp_path, *OPTIONAL)


@pytest.mark.slow
def test_without_keras_align_plain_files_load_and_others_name_it(tmp_path):
    save_with_values(
        strip_alignment(small_models.aligned("functional")), tmp_path, "stripped"
    )
    names = "functional", "backbone", "pieces", "classifier"
    for name in names:
        model = small_models.aligned(name)
        model.save(tmp_path / f"{name}.keras")
        if name == "backbone":
            model.save_to_preset(str(tmp_path / "preset"))
    isolated.run("load_without.py", tmp_path, "keras_align")
    errors = json.loads((tmp_path / "errors.json").read_text())
    assert errors.keys() == {*names, "preset"}
    message = r"(?s)Could not locate class.*'module': 'keras_align"
    assert all(re.search(message, errors[name]) for name in names)
    assert "no class registered with Keras for keras_align>" in errors["preset"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_lora_before_and_int8_after_the_alignment():
    model = small_models.backbone()
    model.enable_lora(2)
    aligned_model = align_model(model)
    weights = {id(w) for w in aligned_model.trainable_weights}
    (alignment, *_) = (
        layer.alignment
        for layer in aligned_model._flatten_layers()
        if getattr(layer, "alignment", None)
    )
    assert {id(w) for w in alignment.trainable_weights} <= weights
    strip_alignment(model)
    values = small_models.predict(model, "backbone")
    model.quantize("int8")
    error = np.abs(small_models.predict(model, "backbone") - values).mean()
    assert error < 0.1 * np.abs(values).mean()


def test_a_weights_file_of_a_plain_model_is_not_taken_for_an_aligned_one(tmp_path):
    model = small_models.backbone()
    model.save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        align_model(model).load_weights(tmp_path / "plain.weights.h5")


@pytest.mark.backends("tensorflow")
def test_a_saved_model_of_the_stripped_view_holds_nothing_of_the_alignment(tmp_path):
    import tensorflow as tf

    model = small_models.aligned("classifier")
    inputs = {
        key: value.astype(model.input[key].dtype)
        for key, value in small_models.tokens().items()
    }
    expected = keras.ops.convert_to_numpy(model(inputs))
    strip_alignment(model).export(tmp_path / "export", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(saved.serve(inputs).numpy(), expected, atol=1e-6)
    read = tf.train.load_checkpoint(str(tmp_path / "export" / "variables/variables"))
    keys = read.get_variable_to_shape_map()
    assert not [key for key in keys if "align" in key]


@pytest.mark.parametrize("name", ["backbone", "functional"])
def test_a_loaded_model_has_the_same_paths(tmp_path, name):
    model = small_models.aligned(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


def test_a_weight_that_is_a_variable_is_saved_as_its_value(tmp_path):
    weight = keras.Variable(0.5, trainable=False, dtype="float32")
    model = small_models.aligned("functional", alignment_weight=weight)
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    assert [row["alignment_weight"] for row in rows(other)] == [0.5, 0.5]
