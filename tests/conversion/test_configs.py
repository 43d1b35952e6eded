"""Configs, copies and clones of converted models say how they are aligned."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
import small_models
from model_state import nameless, rows
from parameters import slow_but

from keras_align.conversion import align_model, strip_alignment

NAMES = list(small_models.BUILDERS)
WEIGHTS = {"alignment": "mmd", "alignment_weight": 0.25}

pytestmark = [
    pytest.mark.slow_on("jax", "torch"),
    pytest.mark.filterwarnings("ignore:.*compile.* was not called as part"),
    # Keras on TensorFlow converts each variable that it saves in this way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_describes_the_alignment(name):
    model = small_models.aligned(name, layers=0, **WEIGHTS)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    config["compile_config"] = None
    other = keras.saving.deserialize_keras_object(config)
    assert nameless(rows(other)) == nameless(rows(model))
    assert rows(other)[0]["alignment_weight"] == 0.25


SOME = "backbone", "pieces", "decoder", "subclassed"


@pytest.mark.parametrize("name", slow_but(["pieces"], SOME))
def test_a_copy_and_a_pickle_are_aligned(name):
    model = small_models.aligned(name, layers=0, **WEIGHTS)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert nameless(rows(other)) == nameless(rows(model))
        values = small_models.predict(other, name)
        np.testing.assert_array_equal(values, small_models.predict(model, name))


@pytest.mark.parametrize(
    "name", ["backbone", "pieces", "decoder", "functional", "nested"]
)
def test_a_clone_is_aligned(name):
    model = small_models.aligned(name, layers=-1, **WEIGHTS)
    assert nameless(rows(keras.models.clone_model(model))) == nameless(rows(model))


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


def test_a_config_that_does_not_fit_its_layer_is_an_error():
    model = small_models.aligned("backbone")
    config = model.get_config()
    config["keras_align"]["alignments"].pop()
    with pytest.raises(ValueError, match="describes 1 attention layers, but 2"):
        type(model).from_config(config)


def test_a_container_still_takes_the_config_of_its_plain_class():
    config = small_models.backbone().get_config()
    other = type(small_models.aligned("backbone")).from_config(config)
    assert all(row["alignment"] is None for row in rows(other))
