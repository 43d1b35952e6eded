"""`export_saved_model`: texts in, probabilities and labels out, and nothing of ours."""

import json
import pathlib

import isolated
import keras
import numpy as np
import pytest
import small_models
from execution import BACKEND
from test_conversion import state
from test_export import operations

import keras_align
from keras_align import align_model, export_saved_model, strip_alignment

if BACKEND == "torch":
    pytest.skip("SavedModels are of TensorFlow and JAX", allow_module_level=True)

import tensorflow as tf

WORDS = ["good", "bad", "film", "the", "a", "is", "not", "very"]
TEXTS = [
    "good film",
    "",
    "the bad film is not very good at all, is it?",
    "a \u00fc \x00",
]
NAMES = ["negative", "positive"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of TensorFlow, about its own savers


def classifier(dtype="float32", seed=0):
    """An aligned BERT with its tokenizer, trained for a step."""
    import keras_nlp

    keras.utils.set_random_seed(seed)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary)
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=8
    )
    backbone = keras_nlp.models.BertBackbone(
        13, 2, 2, 16, 32, max_sequence_length=16, dtype=dtype
    )
    model = keras_nlp.models.BertTextClassifier(backbone, 2, preprocessor, dtype=dtype)
    align_model(model, "ct")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    jax = BACKEND == "jax"
    model.compile("adam", loss, jit_compile=jax, run_eagerly=not jax)
    model.fit(np.array(TEXTS, object), np.arange(4) % 2, batch_size=4, verbose=0)
    return model


def probabilities(model, texts=TEXTS):
    logits = model(model.preprocessor(np.array(texts, object)), training=False)
    logits = keras.ops.cast(logits, "float32")
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


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
    """A folder with an aligned model and its plain twin; and the aligned model."""
    folder = tmp_path_factory.mktemp("exported")
    model = classifier()
    before, optimizer = kept(model), model.optimizer
    export_saved_model(model, folder / "aligned", class_names=NAMES)
    assert kept(model) == before and model.optimizer is optimizer
    plain = strip_alignment(classifier())
    export_saved_model(plain, folder / "plain", class_names=NAMES)
    return folder, model


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


@pytest.mark.tensorflow
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


@pytest.mark.tensorflow  # JAX has no attention in float16 on processors
def test_a_model_in_mixed_precision_answers_in_the_dtype_that_was_asked_for(tmp_path):
    model = classifier("mixed_float16")
    wanted = probabilities(model)
    for dtype in ("float32", "float16"):
        export_saved_model(model, tmp_path / dtype, dtype=dtype)
        signature = tf.saved_model.load(tmp_path / dtype).signatures["serving_default"]
        found = signature(text=tf.constant(TEXTS))
        assert found["probabilities"].dtype == dtype
        assert found["labels"].dtype == "int64"
        np.testing.assert_allclose(found["probabilities"], wanted, atol=2e-3)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_integers_of_eight_bits_are_exported(tmp_path):
    model = strip_alignment(classifier())
    wanted = probabilities(model)
    model.quantize("int8")
    export_saved_model(model, tmp_path / "int8")
    file = tf.train.load_checkpoint(str(tmp_path / "int8" / "variables" / "variables"))
    types = file.get_variable_to_dtype_map().values()
    assert sum(dtype == tf.int8 for dtype in types) > 10
    loaded = tf.saved_model.load(tmp_path / "int8")
    found = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(found["probabilities"], wanted, atol=0.05)


def two_classes(activation, dtype="float32"):
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH), name="vectors")
    x = keras_align.AlignedMultiHeadAttention(2, 8)(inputs, inputs)
    outputs = keras.layers.Dense(1, activation=activation)(x[:, 0])
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("activation", ["sigmoid", None])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
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


def small():
    return two_classes("sigmoid")


def ends_in(operation, width=2):
    inputs = keras.Input((4, 8))
    x = keras_align.AlignedMultiHeadAttention(2, 4)(inputs, inputs)
    return keras.Model(inputs, operation(keras.layers.Dense(width)(x[:, 0])))


def of_sequences():
    inputs = keras.Input((4, 8))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def of_labels():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "sigmoid")])


def fails(text):
    raise TypeError("no texts")


WRONG = {
    "dtype": (small, {"dtype": "bfloat16"}, "`dtype` must be one of"),
    **{
        f"names {number}": (small, {"class_names": names}, "must be a list of 2 dist")
        for number, names in enumerate(
            [
                ["one"],
                ["a", "a"],
                "ab",
                {"a", "b"},
                {"a": 1, "b": 0},
                [1, 2],
                iter("ab"),
            ]
        )
    },
    "activation": (lambda: two_classes("tanh"), {}, "ends in the activation tanh"),
    "softmax": (lambda: ends_in(keras.ops.softmax), {}, "`from_logits` must be a bool"),
    "sigmoid": (lambda: ends_in(keras.ops.sigmoid, 1), {}, "`from_logits` must be"),
    "labels": (of_labels, {}, "3 outputs ends in the activation sigmoid"),
    "logits": (small, {"from_logits": "no"}, "Received: from_logits='no'"),
    "sequences": (of_sequences, {}, "one output .batch, classes"),
    "unbuilt": (
        lambda: keras.Sequential([keras.layers.Dense(1)]),
        {},
        "must be a built functional model",
    ),
    "string": (lambda: "model", {}, "must be a built functional model"),
    "inputs": (
        small,
        {"preprocessor": lambda text: {"other": text}},
        "must return the inputs of the model, \\['vectors'\\]",
    ),
    "texts": (small, {"preprocessor": fails}, "raises TypeError: no texts"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, case):
    make, options, message = case
    with pytest.raises(ValueError, match=message):
        export_saved_model(make(), tmp_path / "new", **options)
    assert not list(tmp_path.iterdir())


def test_other_files_are_not_written_over(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    for path in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ValueError, match="`path` must name a new or empty folder"):
            export_saved_model(small(), path)
    for path in ("gs://bucket/model", pathlib.Path("s3://bucket"), "file:///model"):
        with pytest.raises(ValueError, match="`path` must name a local folder"):
            export_saved_model(small(), path)


def test_files_beside_a_saved_model_are_kept(tmp_path):
    export_saved_model(small(), tmp_path / "model")
    (tmp_path / "model" / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match="a SavedModel alone. .* with notes.md"):
        export_saved_model(small(), tmp_path / "model")
    assert (tmp_path / "model" / "notes.md").exists()


def test_an_interrupted_swap_brings_the_former_export_back(tmp_path, monkeypatch):
    export_saved_model(small(), tmp_path / "model")
    rename, calls = pathlib.Path.rename, []

    def interrupt_second(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        export_saved_model(small(), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert tf.saved_model.load(tmp_path / "model").signatures


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


def test_a_failure_keeps_the_former_export_and_the_alignment(tmp_path, monkeypatch):
    model = small()
    export_saved_model(model, tmp_path / "model")
    before = sorted(path.name for path in tmp_path.rglob("*"))

    def fail(*arguments, **options):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(tf.saved_model, "save", fail)
        export_saved_model(model, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert keras_align.alignment_report(model).aligned
    export_saved_model(model, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
