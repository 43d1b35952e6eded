"""`export_saved_model`: texts in, probabilities and labels out, and nothing of ours."""

import json

import isolated
import keras
import numpy as np
import pytest
import small_models
from execution import BACKEND
from graph_operations import operations
from model_state import state
from small_classifiers import (
    NAMES,
    TEXTS,
    classifier,
    plain_classifier,
    probabilities,
    two_classes,
)

import keras_align
from keras_align import align_model, export_saved_model

if BACKEND == "torch":
    pytest.skip("SavedModels are of TensorFlow and JAX", allow_module_level=True)

import tensorflow as tf

pytestmark = [
    pytest.mark.slow_on("jax"),
    pytest.mark.filterwarnings("ignore"),  # of TensorFlow, about its own savers,
]


def stored(folder):
    """Shapes of the tensors in the files of a SavedModel, by name."""
    file = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = file.get_variable_to_shape_map()
    return {name: shape for name, shape in shapes.items() if not name.startswith("_CH")}


def kept(model):
    names = "classes", "names", "weights", "trainable", "metrics", "config"
    return {name: state(model)[name] for name in names}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with an aligned and a plain model; and the aligned model."""
    folder = tmp_path_factory.mktemp("exported")
    model = classifier()
    before, optimizer = kept(model), model.optimizer
    export_saved_model(model, folder / "aligned", class_names=NAMES)
    assert kept(model) == before and model.optimizer is optimizer
    plain = plain_classifier()
    export_saved_model(plain, folder / "plain", class_names=NAMES)
    return folder, model


@pytest.mark.slow
def test_texts_are_answered_where_there_is_only_tensorflow(exported, tmp_path):
    folder, model = exported
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    script = "ask_saved_model.py"
    answers = isolated.run(script, folder / "aligned", tmp_path / "texts.json")
    answers = json.loads(answers)
    wanted = probabilities(model)
    np.testing.assert_allclose(answers["probabilities"], wanted, rtol=1e-5)
    assert answers["labels"] == [NAMES[index] for index in wanted.argmax(-1)]
    own = ["probabilities"] if BACKEND == "jax" else []
    assert answers["signatures"] == [*own, "serving_default", "tokens"]


def test_the_graph_and_the_variables_are_those_of_the_plain_model(exported):
    folder, _ = exported
    aligned, plain = (
        tf.saved_model.load(folder / name) for name in ("aligned", "plain")
    )
    shapes = (stored(folder / name).values() for name in ("aligned", "plain"))
    assert sorted(next(shapes)) == sorted(next(shapes))
    assert aligned.signatures.keys() == plain.signatures.keys()
    for name, signature in aligned.signatures.items():
        assert operations(signature) == operations(plain.signatures[name])


@pytest.mark.backends("tensorflow")
def test_weights_are_written_once(exported):
    folder, model = exported
    sizes = [int(np.prod(shape)) for shape in stored(folder / "aligned").values()]
    added = keras_align.alignment_report(model).added_weights
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert sum(sizes) == trained - added


def test_tokens_of_any_number_and_length(exported):
    folder, model = exported
    signature = tf.saved_model.load(folder / "aligned").signatures["tokens"]
    lengths = [8] if BACKEND == "jax" else [3, 8, 16]
    for samples, length in [
        (samples, length) for samples in (1, 5) for length in lengths
    ]:
        draw = np.random.default_rng(0).integers(1, 13, (samples, length))
        inputs = {
            "token_ids": draw.astype("int32"),
            "segment_ids": np.zeros_like(draw, "int32"),
            "padding_mask": np.ones_like(draw, "int32"),
        }
        found = signature(**{name: tf.constant(x) for name, x in inputs.items()})
        wanted = keras.ops.softmax(model(inputs, training=False))
        wanted = keras.ops.convert_to_numpy(wanted)
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=1e-4)


@pytest.mark.slow
def test_a_tokenizer_with_tables_of_words(tmp_path):
    import keras_nlp

    words = ["<s>", "<pad>", "</s>", "<mask>", *"\u0120abdfgilmo", "il", "go", "od"]
    tokenizer = keras_nlp.models.RobertaTokenizer(
        vocabulary={word: number for number, word in enumerate([*words, "good"])},
        merges=["i l", "g o", "o d", "go od"],
    )
    preprocessor = keras_nlp.models.RobertaTextClassifierPreprocessor(
        tokenizer, sequence_length=8
    )
    backbone = keras_nlp.models.RobertaBackbone(30, 1, 2, 16, 32, max_sequence_length=8)
    model = keras_nlp.models.RobertaTextClassifier(backbone, 2, preprocessor)
    align_model(model, "mmd")
    export_saved_model(model, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    texts = ["good film", "a bad film", ""]
    found = loaded.signatures["serving_default"](text=tf.constant(texts))
    logits = model(preprocessor(texts), training=False)
    wanted = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=1e-5)


@pytest.mark.backends("tensorflow")  # JAX has no attention in float16 on processors
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_model_in_mixed_precision_answers_in_the_dtype_that_was_asked_for(
    tmp_path, dtype
):
    keras.config.set_dtype_policy("mixed_float16")
    model, x = two_classes(), small_models.vectors()
    wanted = keras.ops.cast(model(x, training=False)[:, 0], "float32")
    export_saved_model(model, tmp_path / "model", dtype=dtype)
    signature = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    found = signature(vectors=tf.constant(x.astype(dtype)))
    assert found["probabilities"].dtype == dtype
    assert found["labels"].dtype == "int64"
    np.testing.assert_allclose(found["probabilities"][:, 1], wanted, atol=2e-3)


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
def test_integers_of_eight_bits_are_exported(tmp_path):
    model = plain_classifier()
    wanted = probabilities(model)
    model.quantize("int8")
    export_saved_model(model, tmp_path / "int8")
    file = tf.train.load_checkpoint(str(tmp_path / "int8" / "variables" / "variables"))
    types = file.get_variable_to_dtype_map().values()
    assert sum(dtype == tf.int8 for dtype in types) > 10
    loaded = tf.saved_model.load(tmp_path / "int8")
    found = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(found["probabilities"], wanted, atol=0.05)


@pytest.mark.parametrize(
    "activation, dtype", [("sigmoid", "float32"), (None, "float16")]
)
def test_one_output_is_the_second_of_two_classes(tmp_path, activation, dtype):
    model = two_classes(activation)
    export_saved_model(model, tmp_path / "two", class_names=NAMES, dtype=dtype)
    default = tf.saved_model.load(tmp_path / "two").signatures["serving_default"]
    x = small_models.vectors().astype(dtype)
    found = default(vectors=tf.constant(x))
    wanted = keras.ops.convert_to_numpy(model(x, training=False))[:, 0]
    wanted = wanted if activation else 1.0 / (1.0 + np.exp(-wanted))
    received = found["probabilities"].numpy()
    np.testing.assert_allclose(
        received[:, 1], wanted, atol=1e-6 + 1e-3 * (dtype != "float32")
    )
    np.testing.assert_allclose(received.sum(-1), 1.0, atol=1e-3)
    labels = [label.decode() for label in found["labels"].numpy()]
    assert labels == [NAMES[int(p > 0.5)] for p in wanted]


def sequential():
    layers = [keras.Input((4,), name="x"), keras.layers.Dense(2, "softmax")]
    return keras.Sequential(layers)


def named_output():
    inputs = keras.Input((4,), name="x")
    dense = keras.layers.Dense(2)
    return keras.Model(inputs, {"scores": keras.layers.Softmax()(dense(inputs))})


@pytest.mark.parametrize("make", [sequential, named_output])
def test_models_of_other_structures(tmp_path, make):
    model, x = make(), np.ones((3, 4), "float32")
    export_saved_model(model, tmp_path / "model", preprocessor=False)
    tokens = tf.saved_model.load(tmp_path / "model").signatures["tokens"]
    (wanted,) = keras.tree.flatten(model(x, training=False))
    wanted = keras.ops.convert_to_numpy(wanted)
    np.testing.assert_allclose(tokens(x=x)["probabilities"], wanted, rtol=1e-6)
