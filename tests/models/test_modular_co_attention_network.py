"""`ModularCoAttentionNetwork` against NumPy, and as a Keras model."""

import warnings

import keras
import numpy as np
import pytest
from execution import QUICK_JIT, array

import keras_align

pytestmark = pytest.mark.slow_on("jax")
SIZES = {
    "num_answers": 5,
    "num_layers": 2,
    "hidden_dim": 16,
    "num_heads": 2,
    "intermediate_dim": 24,
    "fusion_dim": 12,
}
WORDS = {"vocabulary_size": 20, "embedding_dim": 6}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(**options):
    keras.utils.set_random_seed(3)
    options = SIZES | WORDS | {"image_features": 7} | options
    return keras_align.models.ModularCoAttentionNetwork(**options)


def questions(count=8, length=6):
    """Questions and images; two words and three regions are padding."""
    rng = np.random.default_rng(0)
    question = rng.integers(1, 20, (count, length)).astype("int32")
    question[:, length - 2 :] = 0
    image = rng.standard_normal((count, 9, 7)).astype("float32")
    mask = np.tile(np.arange(9) < 6, (count, 1))
    return {"question": question, "image": image, "image_mask": mask}


def unmasked(inputs):
    return {name: inputs[name] for name in ("question", "image")}


class Oracle:
    """The network of Yu et al. in NumPy, float64, from the weights of a model."""

    def __init__(self, model):
        self.model = model

    def of(self, name):
        return [array(w).astype("float64") for w in self.model.get_layer(name).weights]

    def dense(self, x, name):
        kernel, bias = self.of(name)
        return x @ kernel + bias

    def norm(self, x, name):
        gamma, beta = self.of(name)
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6) * gamma + beta

    def attend(self, x, to, mask, name):
        query, key, value = (
            np.einsum("bte,enh->btnh", tokens, kernel) + bias
            for tokens, kernel, bias in zip(
                (x, to, to), *[self.of(name)[k:6:2] for k in (0, 1)], strict=True
            )
        )
        scores = np.einsum("btnh,bsnh->bnts", query, key) / np.sqrt(query.shape[-1])
        weights = softmax(np.where(mask[:, None, None, :], scores, -1e9))
        kernel, bias = self.of(name)[6:]
        heads = np.einsum("bnts,bsnh->btnh", weights, value)
        return self.norm(x + np.einsum("btnh,nhe->bte", heads, kernel) + bias,
                         f"{name}_norm")  # fmt: skip

    def feed_forward(self, x, name):
        inner = np.maximum(self.dense(x, f"{name}_inner"), 0.0)
        return self.norm(x + self.dense(inner, f"{name}_outer"), f"{name}_norm")

    def reduce(self, x, mask, name):
        hidden, hidden_bias, score, score_bias, merge, merge_bias = self.of(name)
        scores = np.maximum(x @ hidden + hidden_bias, 0.0) @ score + score_bias
        weights = softmax(np.where(mask, scores[..., 0], -1e9))
        return np.einsum("bt,bte->be", weights, x) @ merge + merge_bias

    def lstm(self, x, mask):
        kernel, recurrent, bias = self.of("question_lstm")
        state = np.zeros((2, len(x), recurrent.shape[0]))
        outputs = []
        for t in range(x.shape[1]):
            gates = x[:, t] @ kernel + state[0] @ recurrent + bias
            i, f, c, o = np.split(gates, 4, axis=-1)
            cell = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(c)
            new = np.stack([sigmoid(o) * np.tanh(cell), cell])
            state = np.where(mask[:, t, None], new, state)
            outputs.append(state[0])
        return np.stack(outputs, axis=1)

    def __call__(self, question, image, image_mask):
        (embedding,), words = self.of("question_embedding"), question != 0
        x = self.lstm(embedding[question], words)
        y = self.dense(image.astype("float64"), "image_projection")
        for k in (1, 2):
            x = self.attend(x, x, words, f"question_{k}_self_attention")
            x = self.feed_forward(x, f"question_{k}_feed_forward")
        for k in (1, 2):
            y = self.attend(y, y, image_mask, f"image_{k}_self_attention")
            y = self.attend(y, x, words, f"image_{k}_guided_attention")
            y = self.feed_forward(y, f"image_{k}_feed_forward")
        fused = self.reduce(x, words, "question_reduction")
        fused = fused + self.reduce(y, image_mask, "image_reduction")
        return self.dense(self.norm(fused, "fusion_norm"), "answers")


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_it_is_the_network_of_the_paper():
    model, inputs = network(masked_regions=True), questions()
    for weight in model.weights:  # biases and scales, too
        if weight.dtype == "float32":
            weight.assign(weight + 0.1 * keras.random.normal(weight.shape, seed=1))
    received = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(received, Oracle(model)(**inputs), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
    model, inputs = network(masked_regions=True), questions()
    expected = model.predict(inputs, verbose=0)
    longer = {
        "question": np.pad(inputs["question"], ((0, 0), (0, 3))),
        "image": np.concatenate([inputs["image"], np.full((8, 2, 7), 50.0)], axis=1),
        "image_mask": np.pad(inputs["image_mask"], ((0, 0), (0, 2))),
    }
    received = model.predict(longer, verbose=0)
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_the_order_of_regions_changes_nothing():
    model, inputs = network(), unmasked(questions())
    expected = model.predict(inputs, verbose=0)
    inputs["image"] = inputs["image"][:, ::-1]
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_nothing_to_see_or_to_read_has_an_answer(precision):
    model, inputs = network(masked_regions=True, dtype=precision), questions()
    inputs["question"][0] = 0
    inputs["image_mask"][1] = False
    first = model.predict(inputs, verbose=0)
    assert np.isfinite(first).all()
    inputs["image"][1] += 1.0
    np.testing.assert_array_equal(model.predict(inputs, verbose=0), first)


@pytest.mark.slow_on("tensorflow", "jax")
@pytest.mark.parametrize(
    "alignment", [None, pytest.param("mmd", marks=pytest.mark.slow)]
)
def test_it_learns(alignment):
    model, inputs = network(num_layers=1, dropout=0.0), unmasked(questions(32))
    labels = inputs["question"][:, 0] % 5
    if alignment is not None:
        keras_align.align_model(model, alignment)
    adam = keras.optimizers.Adam(0.005)
    model.compile(adam, LOSS, metrics=["accuracy"], jit_compile=QUICK_JIT)
    model.fit(inputs, labels, epochs=40, batch_size=16, verbose=0)
    assert model.evaluate(inputs, labels, verbose=0)[1] > 0.9


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
def test_xla_equals_eager():
    losses = []
    for jit_compile in (True, False):
        model, inputs = network(num_layers=1, dropout=0.0), unmasked(questions())
        keras_align.align_model(model, "mmd", alignment_weight=1.0)
        model.compile("sgd", LOSS, jit_compile=jit_compile, run_eagerly=not jit_compile)
        history = model.fit(inputs, np.arange(8) % 5, epochs=2, verbose=0).history
        losses.append([history["loss"], history["alignment_loss"]])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_all_its_attention_can_be_aligned():
    model = keras_align.align_model(network(), "gan")
    report = keras_align.alignment_report(model)
    assert "6 of 6 attention layers aligned" in str(report)
    measured = keras_align.measure_alignment(model, unmasked(questions()))
    assert measured.values.shape == (6, 2)


def test_match_moments():
    model, inputs = network(), unmasked(questions(64))
    predicted = model.predict(inputs, verbose=0)
    before = keras_align.measure_alignment(model, inputs).total
    keras_align.match_moments(model, inputs)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), predicted, atol=1e-5)
    assert keras_align.measure_alignment(model, inputs).total < 0.5 * abs(before)


@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
        "mixed_float16",
    ],
)
def test_files(precision, tmp_path):
    encoder = keras_align.models.patch_encoder((16, 16, 3), (4, 7), dtype=precision)
    model = network(image_encoder=encoder, dtype=precision)
    keras_align.align_model(model, "mmd", alignment_weight=0.3)
    inputs = {
        "question": questions()["question"],
        "image": np.random.default_rng(1).random((8, 16, 16, 3), "float32"),
    }
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), expected)
    layer = again.get_layer("image_2_guided_attention")
    assert layer.alignment_weight == 0.3
    assert layer.compute_dtype == keras.DTypePolicy(precision).compute_dtype


@pytest.mark.parametrize(
    "alignment", [pytest.param(None, marks=pytest.mark.slow), "gan"]
)
def test_a_quantized_network_is_saved(alignment, tmp_path):
    model, inputs = network(), unmasked(questions())
    if alignment is not None:
        keras_align.align_model(model, alignment)
    before = model.predict(inputs, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the layers that cannot be quantized
        model.quantize("int8")
    expected = model.predict(inputs, verbose=0)
    assert not np.array_equal(expected, before)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(inputs, verbose=0), expected, atol=1e-5)
    twice = type(model).from_config(again.get_config())
    assert twice.get_config() == model.get_config()


def states(model):
    """What each layer computes in, whether it is trained, and how many weights."""
    return [
        (layer.path, layer.compute_dtype, layer.trainable, len(layer.trainable_weights))
        for layer in model._flatten_layers(include_self=False)
        if layer.weights or isinstance(layer, keras.layers.Add)
    ]


def restored(model):
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    return again


def test_layers_stay_frozen_and_keep_their_policy():
    model = network()
    layer = model.get_layer("image_1_guided_attention")
    layer.trainable = False
    layer.query_dense.trainable = True  # thawed in a frozen one
    model.get_layer("answers").dtype_policy = "mixed_bfloat16"
    again = restored(model)
    assert states(again) == states(model)
    assert again.get_layer("answers").compute_dtype == "bfloat16"
    whole = network()
    whole.trainable = False
    assert states(restored(whole)) == states(whole)
    config = network().get_config() | {"trainable_layers": {"no_layer": False}}
    with pytest.raises(ValueError, match=r"layers \['no_layer'\]"):
        type(model).from_config(config)


def test_encoders_keep_their_own_state():
    ids = keras.Input((None,), dtype="int32")
    words = keras.layers.Embedding(20, 6, name="embedding")(ids)
    words = keras.layers.Dense(6, name="question_projection")(words)
    question = keras.Model(ids, words, name="words")
    image = keras.Input((9, 7))
    regions = keras.layers.Dense(6, name="embedding")(image)
    model = network(
        question_encoder=question,
        image_encoder=keras.Model(image, regions, name="regions"),
        vocabulary_size=None,
    )
    for layer in question.layers:
        layer.trainable = False
    again = restored(model)
    assert states(again) == states(model)
    trained = {weight.path for weight in again.trainable_weights}
    assert len(trained) == len(model.trainable_weights)
    assert len(again.get_layer("question_projection").trainable_weights) == 2


def test_a_map_of_policies_is_kept():
    wanted = keras.dtype_policies.DTypePolicyMap("mixed_bfloat16")
    wanted["fusion_.*"] = keras.DTypePolicy("float32")
    model = network(dtype=wanted)
    again = restored(model)
    assert states(again) == states(model)
    for name, dtype in {"fusion_add": "float32", "answers": "bfloat16"}.items():
        assert again.get_layer(name).compute_dtype == dtype


@pytest.mark.backends("tensorflow")
def test_a_saved_model(tmp_path):
    import tensorflow as tf

    model, inputs = keras_align.align_model(network(), "ct"), unmasked(questions())
    expected = model.predict(inputs, verbose=0)
    keras_align.export_saved_model(model, tmp_path / "served", from_logits=True)
    serve = tf.saved_model.load(tmp_path / "served").signatures["serving_default"]
    outputs = serve(**{name: tf.constant(x) for name, x in inputs.items()})
    np.testing.assert_allclose(outputs["probabilities"], softmax(expected), atol=1e-5)


def test_a_backbone_reads_the_question():
    pytest.importorskip("keras_hub")
    import keras_hub

    backbone = keras_hub.models.BertBackbone(30, 1, 2, 8, 16, max_sequence_length=6)
    model = network(question_encoder=backbone, vocabulary_size=None)
    ids = questions()["question"]
    tokens = {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": (ids != 0).astype("int32"),
    }
    inputs = {"question": tokens, "image": questions()["image"]}
    expected = model.predict(inputs, verbose=0)
    tokens["token_ids"] = np.where(ids == 0, 5, ids)  # where the mask says padding
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-5)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict(inputs, verbose=0), expected, atol=1e-5)


def test_padding_of_an_encoder_that_computes_a_mask():
    ids = keras.Input((None,), dtype="int32", name="ids")
    words = keras.layers.Embedding(20, 6, mask_zero=True)(ids)
    words = keras.layers.LSTM(6, return_sequences=True)(words)
    model = network(question_encoder=keras.Model(ids, words), vocabulary_size=None)
    inputs = unmasked(questions())
    expected = model.predict(inputs, verbose=0)
    inputs["question"] = np.pad(inputs["question"], ((0, 0), (0, 3)))
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-5)
    inputs["question"][:] = 0  # no word is left: the answer is that of the image
    before = array(model(inputs))
    norm = model.get_layer("question_1_feed_forward_norm")
    norm.beta.assign(norm.beta + 1.0)
    np.testing.assert_allclose(array(model(inputs)), before, atol=1e-5)


@pytest.mark.parametrize("named", [False, True])
def test_an_encoder_of_images_of_any_size(named):
    image = keras.Input((None, None, 3), name="pixels")
    grid = keras.layers.Conv2D(4, 2, 2, data_format="channels_last")(image)
    outputs = {"sequence_output": grid, "pooled_output": grid} if named else grid
    encoder = keras.Model(image, outputs)
    model = network(
        image_encoder=encoder, num_layers=np.int64(1), hidden_dim=np.int32(8)
    )
    draw = np.random.default_rng(0)
    for size in (4, 6):
        pixels = draw.random((8, size, size, 3), "float32")
        inputs = {"question": questions()["question"], "image": pixels}
        assert np.isfinite(array(model(inputs))).all()
    assert type(model.get_config()["hidden_dim"]) is int


def test_a_mean_of_regions_has_the_weights_that_it_returns():
    layer = keras_align.models.WeightedReduction(8, 5)
    x, mask = questions()["image"], questions()["image_mask"]
    outputs, weights = layer(x, mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(np.sum(array(weights), axis=1), 1.0, rtol=1e-5)
    assert not array(weights)[~mask].any()
    kernel, bias = map(array, layer.merge.weights)
    summed = np.einsum("bt,bte->be", array(weights), x)
    np.testing.assert_allclose(array(outputs), summed @ kernel + bias, atol=1e-5)
    spec = layer.compute_output_spec(
        keras.KerasTensor((None, 9, 7)), return_attention_scores=True
    )
    assert [x.shape for x in spec] == [(None, 5), (None, 9)]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_an_answer_without_a_question_is_that_of_the_image(dropout):
    model, inputs = network(dropout=dropout), unmasked(questions())
    inputs["question"] = np.zeros_like(inputs["question"])
    before = array(model(inputs))
    norm = model.get_layer("question_1_feed_forward_norm")
    norm.beta.assign(norm.beta + 1.0)
    np.testing.assert_allclose(array(model(inputs)), before, atol=1e-5)


def test_misspelt_arguments():
    with pytest.raises(TypeError, match="no argument 'num_layer'"):
        network(num_layer=2)


def test_missing_and_unknown_inputs():
    model, inputs = network(), unmasked(questions())
    with pytest.raises(ValueError, match="input \"image\".*'question'"):
        model({"question": inputs["question"]})
    with pytest.raises(ValueError, match="`masked_regions=True`"):
        model(questions())
    with pytest.raises(ValueError, match="must be a dict"):
        model([inputs["question"], inputs["image"]])
    inputs["image"] = inputs["image"][..., :5]
    with pytest.raises(ValueError, match=r"shape=\(None, None, 7\).*\(8, 9, 5\)"):
        model(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_answers": 0}, "`num_answers`"),
        ({"hidden_dim": 15}, "multiple of `num_heads`"),
        ({"dropout": 1.0}, "`dropout`"),
        ({"vocabulary_size": None}, "`question_encoder` must be given"),
        ({"vocabulary_size": 2.5}, "`vocabulary_size`"),
        ({"image_features": None}, "`image_features`"),
        ({"num_regions": 0}, "`num_regions`"),
        ({"image_encoder": "vgg"}, "`image_encoder`"),
        ({"question_encoder": keras.layers.Dense(2)}, "`question_encoder`"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


@pytest.mark.filterwarnings("error:The structure of")
def test_an_encoder_of_one_named_input():
    image = keras.Input((3, 4), name="pixels")
    dense = keras.layers.Dense(4)(image)
    model = network(
        image_encoder=keras.Model({"pixels": image}, dense, name="image_encoder")
    )
    inputs = {"question": questions()["question"], "image": np.ones((8, 3, 4))}
    assert model.predict(inputs, verbose=0).shape == (8, 5)


def encoder(*names, rank=3, name=None, output=None):
    """A model of inputs `(B, 3, 4)` with an output of a rank."""
    inputs = [keras.Input((3, 4), name=each) for each in names]
    x = keras.layers.Average()(inputs) if len(inputs) > 1 else inputs[0]
    x = keras.layers.Dense(4)(x)
    x = x if rank == 3 else keras.layers.Flatten()(x)
    return keras.Model(inputs, {output: x} if output else x, name=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_encoder": ("a", "b")}, "must have one input.*'a', 'b'"),
        (
            {"image_encoder": ("a",), "rank": 2},
            r"`image_encoder`.*\(B, rows",
        ),
        ({"image_encoder": ("a",), "output": "pooled"}, "'sequence_output'.*'pooled'"),
        (
            {"question_encoder": ("a",), "rank": 2},
            r"`question_encoder`.*\(B, T, E\)",
        ),
        ({"image_encoder": ("a",), "name": "image"}, "another name.*'image'"),
        ({"question_encoder": ("a", "image")}, "other names.*'image'"),
        (
            {"question_encoder": ("a",), "image_encoder": ("b",), "name": "same"},
            "different names.*'same'",
        ),
    ],
)
def test_encoders_that_do_not_fit(options, message):
    own = {
        key: options.pop(key) for key in ("rank", "output", "name") if key in options
    }
    encoders = {key: encoder(*names, **own) for key, names in options.items()}
    words = {"vocabulary_size": None} if "question_encoder" in encoders else {}
    with pytest.raises(ValueError, match=message):
        network(**words, **encoders)


@pytest.mark.parametrize(
    "arguments",
    [
        *(((16, 16),), ((16, 16, 0),), (None,)),
        *(((16, 16, 3), ()), ((8, 8, 3), (4, -1)), ((8, 8, 3), 32)),
    ],
)
def test_wrong_arguments_of_the_patch_encoder(arguments):
    with pytest.raises(ValueError, match="`image_shape`|`filters`"):
        keras_align.models.patch_encoder(*arguments)


@pytest.mark.parametrize(
    "options", [{"units": 0}, {"output_dim": None}, {"dropout": -0.1}]
)
def test_wrong_arguments_of_the_reduction(options):
    options = {"units": 4, "output_dim": 3} | options
    with pytest.raises(ValueError, match="`(units|output_dim|dropout)`"):
        keras_align.models.WeightedReduction(**options)
