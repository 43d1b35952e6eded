"""Converted models survive saving, and a process that knows only the files."""

import copy
import json
import pickle
import re
import zipfile

import isolated
import keras
import numpy as np
import pytest
import small_models

from keras_align.conversion import align_model, strip_alignment
from keras_align.diagnostics import alignment_report

NAMES = list(small_models.BUILDERS)
# keras-hub tasks do not compile when they are loaded, plain or aligned.
TRAINED = [name for name in NAMES if name not in ("backbone", "classifier")]
WEIGHTS = {"alignment": "mmd", "alignment_weight": 0.25}
OPTIONAL = "matplotlib", "sklearn", "keras_hub", "keras_nlp", "tensorflow_text", "ot"

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*compile.* was not called as part"),
    # Keras on TensorFlow converts each variable that it saves in this way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),
]


def aligned(name, **options):
    return align_model(small_models.BUILDERS[name](), **options)


def rows(model):
    return alignment_report(model).to_dicts()


def nameless(rows):
    """Rows without what Keras names anew in each process."""
    return [{key: row[key] for key in row if key != "path"} for row in rows]


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    """What is expected of each saved model, and what a fresh process found."""
    folder = tmp_path_factory.mktemp("models")
    expected = {}
    for name in NAMES:
        model = aligned(name)
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
    for name in NAMES:
        found[name]["values"] = np.load(folder / f"{name}.loaded.npy")
    return expected, found


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_process_loads_the_aligned_model(reloaded, name):
    expected, found = (side[name] for side in reloaded)
    assert nameless(found["rows"]) == nameless(expected["rows"])
    np.testing.assert_allclose(found["values"], expected["values"], rtol=1e-6)


@pytest.mark.parametrize("name", TRAINED)
def test_a_fresh_process_goes_on_training_with_the_same_loss(reloaded, name):
    expected, found = (side[name] for side in reloaded)
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_weights_files_go_from_one_aligned_model_to_another(tmp_path, name):
    model, other = aligned(name), aligned(name)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert len(model.weights) == len(other.weights)
    for weight, read in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), read.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_a_config_describes_the_alignment(name):
    model = aligned(name, layers=0, **WEIGHTS)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    config["compile_config"] = None
    other = keras.saving.deserialize_keras_object(config)
    assert nameless(rows(other)) == nameless(rows(model))
    assert rows(other)[0]["alignment_weight"] == 0.25


@pytest.mark.parametrize("name", ["backbone", "pieces", "decoder", "subclassed"])
def test_a_copy_and_a_pickle_are_aligned(name):
    model = aligned(name, layers=0, **WEIGHTS)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert nameless(rows(other)) == nameless(rows(model))
        values = small_models.predict(other, name)
        np.testing.assert_array_equal(values, small_models.predict(model, name))


@pytest.mark.parametrize(
    "name", ["backbone", "pieces", "decoder", "functional", "nested"]
)
def test_a_clone_is_aligned(name):
    model = aligned(name, layers=-1, **WEIGHTS)
    assert nameless(rows(keras.models.clone_model(model))) == nameless(rows(model))


def test_the_files_of_a_stripped_model_do_not_mention_the_library(tmp_path):
    for name in ("backbone", "nested", "subclassed"):
        file = tmp_path / f"{name}.keras"
        strip_alignment(aligned(name)).save(file)
        with zipfile.ZipFile(file) as archive:
            assert "align" not in archive.read("config.json").decode()


def save_with_values(model, folder, name):
    model.save(folder / f"{name}.keras")
    inputs = small_models.vectors()
    np.save(folder / f"{name}.inputs.npy", inputs)
    outputs = keras.ops.convert_to_numpy(model(inputs, training=False))
    np.save(folder / f"{name}.outputs.npy", outputs)


def test_files_need_no_package_of_the_examples(tmp_path):
    save_with_values(aligned("functional"), tmp_path, "functional")
    isolated.run("load_without.py", tmp_path, *OPTIONAL)


def test_without_keras_align_plain_files_load_and_others_name_it(tmp_path):
    save_with_values(strip_alignment(aligned("functional")), tmp_path, "stripped")
    names = "functional", "backbone", "pieces", "classifier"
    for name in names:
        model = aligned(name)
        model.save(tmp_path / f"{name}.keras")
        if name == "backbone":
            model.save_to_preset(str(tmp_path / "preset"))
    isolated.run("load_without.py", tmp_path, "keras_align")
    errors = json.loads((tmp_path / "errors.json").read_text())
    assert errors.keys() == {*names, "preset"}
    message = r"(?s)Could not locate class.*'module': 'keras_align"
    assert all(re.search(message, errors[name]) for name in names)
    assert "no class registered with Keras for keras_align>" in errors["preset"]


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


@pytest.mark.tensorflow
def test_a_saved_model_of_the_stripped_view_holds_nothing_of_the_alignment(tmp_path):
    import tensorflow as tf

    model = aligned("classifier")
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


def test_a_layer_restored_before_it_is_built_is_aligned_when_it_is():
    block = small_models.Block(name="block")
    block(small_models.vectors())
    align_model(block, **WEIGHTS)
    config = block.get_config()
    config["keras_align"]["host"].pop("build_config")
    for _ in range(2):  # an unbuilt layer still knows how it is aligned
        restored = type(block).from_config(config)
        assert not restored.built
        config = restored.get_config()
        (option,) = config["keras_align"]["alignments"]
        assert option["alignment_weight"] == 0.25
    restored(small_models.vectors())
    assert nameless(rows(restored)) == nameless(rows(block))
    assert [w.path for w in restored.trainable_weights if "noop" in w.path] == []


@keras.saving.register_keras_serializable(package="test_saving")
class MakesAttention(keras.layers.Layer):
    """Its attention exists once it is built."""

    def build(self, shape):
        self.attention = keras.layers.MultiHeadAttention(2, 4)
        self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x)


@keras.saving.register_keras_serializable(package="test_saving")
class HoldsMaker(keras.layers.Layer):
    """Has no `build` of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = MakesAttention()

    def call(self, x):
        return self.block(x)


@keras.saving.register_keras_serializable(package="test_saving")
class BuildsMaker(keras.layers.Layer):
    """Makes a layer as it is built, whose attention exists after the first call."""

    def build(self, shape):
        self.block = MakesAttention()

    def call(self, x):
        return self.block(x)


@pytest.mark.filterwarnings("ignore:.*looks like it has unbuilt state")  # plain, too
@pytest.mark.parametrize("container", [HoldsMaker, BuildsMaker])
def test_attention_that_exists_after_the_first_call_is_saved_and_cloned(
    tmp_path, container
):
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH))
    model = align_model(keras.Model(inputs, container()(inputs)), **WEIGHTS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = small_models.vectors()
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    for again in (loaded, keras.models.clone_model(model)):
        assert nameless(rows(again)) == nameless(rows(model))
        strip_alignment(again)


def test_every_layer_that_holds_a_shared_attention_says_so():
    first = small_models.Block(name="first")
    second = small_models.Block(attention=first.attention, name="second")
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH))
    model = align_model(keras.Model(inputs, second(first(inputs))))
    assert len(rows(model)) == 1
    assert all("keras_align" in block.get_config() for block in (first, second))
    strip_alignment(model)
    assert not any("keras_align" in block.get_config() for block in (first, second))


@pytest.mark.parametrize("name", ["backbone", "functional"])
def test_a_loaded_model_has_the_same_paths(tmp_path, name):
    model = aligned(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


def test_a_config_that_does_not_fit_its_layer_is_an_error():
    model = aligned("backbone")
    config = model.get_config()
    config["keras_align"]["alignments"].pop()
    with pytest.raises(ValueError, match="describes 1 attention layers, but 2"):
        type(model).from_config(config)


def test_a_container_still_takes_the_config_of_its_plain_class():
    config = small_models.backbone().get_config()
    other = type(aligned("backbone")).from_config(config)
    assert all(row["alignment"] is None for row in rows(other))


def test_a_weight_that_is_a_variable_is_saved_as_its_value(tmp_path):
    weight = keras.Variable(0.5, trainable=False, dtype="float32")
    model = aligned("functional", alignment_weight=weight)
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    assert [row["alignment_weight"] for row in rows(other)] == [0.5, 0.5]
