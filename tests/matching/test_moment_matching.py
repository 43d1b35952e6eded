"""`match_moments`: equal moments, the same predictions, and everything undone."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_align

DATA = np.random.default_rng(0).normal(size=(8, 12, 16)).astype("float32")
KINDS = {
    "self": lambda x: layers.MultiHeadAttention(2, 4, name="a")(x, x),
    "cross": lambda x: layers.MultiHeadAttention(2, 4, name="a")(x, x[:, 3:] * 2.0),
    "causal": lambda x: layers.MultiHeadAttention(2, 4, name="a")(
        x, x, use_causal_mask=True
    ),
    "grouped": lambda x: layers.GroupQueryAttention(4, 4, 2, name="a")(x, x),
    "aligned": lambda x: keras_align.AlignedMultiHeadAttention(2, 4, name="a")(x, x),
}


def displaced(model):
    """Gives every weight another value, so that keys and queries are apart."""
    draw = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(0.0, 0.3, weight.shape))
    return model


def attention_model(kind="self"):
    inputs = keras.Input((None, 16))
    return displaced(keras.Model(inputs, KINDS[kind](inputs)))


def predictions(model, data=DATA):
    return ops.convert_to_numpy(model(data, training=False))


def values(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def same(left, right):
    return all(map(np.array_equal, left, right))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind, marks=[] if kind == "aligned" else pytest.mark.slow_on("jax")
        )
        for kind in KINDS
    ],
)
def test_predictions_stay_and_the_discrepancy_falls(kind):
    model = attention_model(kind)
    before, far = predictions(model), keras_align.measure_alignment(model, DATA).total
    start = values(model)
    matched = keras_align.match_moments(model, DATA, moments="covariance")
    assert matched.rows[0].matched == "means, covariances"
    np.testing.assert_allclose(predictions(model), before, atol=1e-5)
    near = keras_align.measure_alignment(model, DATA).total
    assert near < 0.3 * far
    matched.restore()
    assert same(values(model), start)
    remains = keras_align.measure_alignment(model, DATA, matched=True).total
    assert remains == pytest.approx(near, abs=0.02)
    assert same(values(model), start)


@pytest.mark.backends("tensorflow")
def test_padding_does_not_count():
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(50, 16, mask_zero=True)(inputs)
    x = layers.MultiHeadAttention(2, 4, name="a")(x, x)
    model = displaced(keras.Model(inputs, x))
    tokens = np.random.default_rng(0).integers(1, 50, (6, 9))
    longer = np.pad(tokens, [(0, 0), (0, 30)])
    with keras_align.match_moments(model, tokens, moments="covariance"):
        short = values(model)
    keras_align.match_moments(model, longer, moments="covariance")
    for left, right in zip(short, values(model), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_means_alone_change_the_bias_of_keys_alone():
    model = attention_model()
    start = {weight.path: np.copy(weight) for weight in model.weights}
    matched = keras_align.match_moments(model, DATA, moments="mean")
    changed = [x.path for x in model.weights if not np.array_equal(x, start[x.path])]
    assert changed == ["a/key/bias"] and matched.rows[0].matched == "means"


@pytest.mark.backends("tensorflow")
def test_several_axes_of_tokens():
    inputs = keras.Input((3, 4, 16))
    attention = layers.MultiHeadAttention(2, 4, attention_axes=(1, 2), name="a")
    model = displaced(keras.Model(inputs, attention(inputs, inputs)))
    data = DATA.reshape(8, 3, 4, 16)
    before = predictions(model, data)
    keras_align.match_moments(model, data, moments="covariance")
    np.testing.assert_allclose(predictions(model, data), before, atol=1e-5)
    assert keras_align.measure_alignment(model, data).total < 0.2


@pytest.mark.backends("tensorflow")
def test_calls_of_a_shared_layer_are_pooled():
    inputs = keras.Input((None, 16))
    shared = layers.MultiHeadAttention(2, 4, name="a")
    middle = shared(inputs, inputs)
    model = displaced(keras.Model(inputs, shared(middle, middle)))
    before = predictions(model)
    keras_align.match_moments(model, DATA, moments="covariance")
    np.testing.assert_allclose(predictions(model), before, atol=1e-5)
    records = keras_align.record_attention(model, DATA)
    query, key = (
        np.concatenate([getattr(x, name)[x.key_mask] for x in records.values()])
        for name in ("query", "key")
    )
    np.testing.assert_allclose(query.mean(0), key.mean(0), atol=1e-4)


def test_keys_without_bias_are_not_shifted():
    inputs = keras.Input((None, 16))
    x = layers.MultiHeadAttention(2, 4, use_bias=False, name="a")(inputs, inputs)
    model = displaced(keras.Model(inputs, x))
    before = predictions(model)
    with pytest.raises(ValueError, match="no bias"):
        keras_align.match_moments(model, DATA, moments="mean")
    matched = keras_align.match_moments(model, DATA, moments="covariance")
    assert "second moments" in str(matched) and "no bias" in matched.rows[0].note
    np.testing.assert_allclose(predictions(model), before, atol=1e-5)


def test_after_training_the_inverse_keeps_predictions():
    model = attention_model()
    matched = keras_align.match_moments(model, DATA, moments="covariance")
    model.compile("sgd", "mse")
    model.fit(DATA, DATA[:, :, :16], verbose=0)
    before = predictions(model)
    trained = values(model)
    matched.restore()
    np.testing.assert_allclose(predictions(model), before, atol=1e-4)
    assert not same(values(model), trained)
    matched.restore()  # a second time it does nothing
    np.testing.assert_allclose(predictions(model), before, atol=1e-4)


@pytest.mark.backends("tensorflow")
def test_from_matched_means_training_takes_the_same_steps():
    trained = []
    for matches in (False, True):
        model = attention_model()
        if matches:
            keras_align.match_moments(model, DATA, moments="mean")
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        model.fit(DATA, DATA, epochs=10, shuffle=False, verbose=0)
        trained.append(predictions(model))
    np.testing.assert_allclose(*trained, atol=1e-3)
    assert np.abs(trained[0] - predictions(attention_model())).max() > 0.1


@pytest.mark.backends("tensorflow")
def test_chosen_layers_and_the_report():
    inputs = keras.Input((None, 16))
    x = layers.MultiHeadAttention(2, 8, name="first")(inputs, inputs)
    x = layers.MultiHeadAttention(2, 8, name="second")(x, x)
    model = displaced(keras.Model(inputs, x))
    matched = keras_align.match_moments(
        model, DATA, layers="second", moments="covariance"
    )
    notes = {row.path: row.note for row in keras_align.alignment_report(model).rows}
    assert notes == {
        "first": "plain",
        "second": "plain; moments matched: means, covariances",
    }
    matched.restore()
    notes = {row.note for row in keras_align.alignment_report(model).rows}
    assert notes == {"plain"}


class Normalized(layers.Layer):
    """Attention with normalised queries and keys, which has none of the symmetries."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = 2, 4
        self.query, self.key = layers.Dense(8), layers.Dense(8)

    def call(self, x):
        query, key = (
            ops.normalize(ops.reshape(y, (-1, x.shape[1], 2, 4)))
            for y in (self.query(x), self.key(x))
        )
        scores = ops.softmax(5.0 * ops.einsum("btnh,bsnh->bnts", query, key))
        return ops.einsum("bnts,bsd->btnd", scores, x)


@pytest.mark.backends("tensorflow")
def test_a_class_without_known_symmetries_is_left(monkeypatch):
    from keras_align.adapters import registry

    monkeypatch.setattr(registry, "_REGISTRY", {})
    inputs = keras.Input((12, 16))
    model = displaced(keras.Model(inputs, Normalized(name="own")(inputs)))
    start = values(model)
    keras_align.register_attention(Normalized)
    with pytest.raises(ValueError, match="symmetries are not known"):
        keras_align.match_moments(model, DATA, moments="covariance")
    # What is said of it but does not hold shows in its outputs.
    adapter = keras_align.AttentionAdapter(symmetry="full")
    keras_align.register_attention(Normalized, adapter)
    with pytest.raises(ValueError, match="outputs would change"):
        keras_align.match_moments(model, DATA, moments="covariance")
    assert same(values(model), start)


@pytest.mark.backends("tensorflow")
def test_means_are_the_default_and_restoring_gives_the_former_note_back():
    model = attention_model()
    of_means = keras_align.match_moments(model, DATA)
    assert of_means.rows[0].matched == "means"
    with keras_align.match_moments(model, DATA, moments="covariance") as more:
        assert "covariances" in str(keras_align.alignment_report(model))
    report = str(keras_align.alignment_report(model))
    assert "matched: means" in report and "covariances" not in report
    assert "1 layers matched" in str(of_means) and "all restored" in str(more)
    of_means.restore()
    assert "matched" not in str(keras_align.alignment_report(model))


@pytest.mark.backends("tensorflow")
def test_matches_can_be_restored_in_any_order():
    model = attention_model()
    before = predictions(model)
    first = keras_align.match_moments(model, DATA)
    second = keras_align.match_moments(model, DATA[:4], moments="covariance")
    first.restore()
    assert "means, covariances" in str(keras_align.alignment_report(model))
    second.restore()
    assert "matched" not in str(keras_align.alignment_report(model))
    np.testing.assert_allclose(predictions(model), before, atol=1e-5)


@pytest.mark.backends("tensorflow")
def test_a_model_is_built_if_need_be():
    class Late(keras.Model):
        def build(self, shape):
            self.inner = layers.MultiHeadAttention(2, 8, name="inner")

        def call(self, x, training=None):
            return self.inner(x, x)

    matched = keras_align.match_moments(Late(), DATA, layers="inner")
    assert matched.rows[0].matched == "means"


@pytest.mark.backends("tensorflow")
def test_a_change_above_rounding_is_noted():
    model = attention_model()
    attention = model.get_layer("a")
    attention.query_dense.bias.assign(np.full((2, 4), 50.0))
    attention.key_dense.kernel.assign(1e-2 * attention.key_dense.kernel)
    (row,) = keras_align.match_moments(model, DATA).rows
    assert row.matched == "means" and "an output changes by" in row.note


@pytest.mark.backends("tensorflow")
def test_what_was_not_compared_is_no_change():
    inputs = keras.Input((12, 16))
    x = KINDS["self"](inputs)
    noise = layers.Lambda(lambda x: x + keras.random.normal(ops.shape(x)))
    model = displaced(keras.Model(inputs, noise(x)))
    (row,) = keras_align.match_moments(model, DATA).rows
    assert "not checked" in row.note and "changes by" not in row.note


@pytest.mark.backends("tensorflow")
def test_padding_in_front_does_not_blind_the_check(monkeypatch):
    from keras_align.adapters import registry

    monkeypatch.setattr(registry, "_REGISTRY", {})
    adapter = keras_align.AttentionAdapter(symmetry="full")
    keras_align.register_attention(Normalized, adapter)
    inputs = keras.Input((12, 16))
    model = displaced(keras.Model(inputs, Normalized(name="own")(inputs)))
    data = DATA.copy()
    data[:2] = 0.0  # of them the layer makes zeros, whatever its weights
    with pytest.raises(ValueError, match="outputs would change by"):
        keras_align.match_moments(model, data, moments="covariance")


@pytest.mark.backends("tensorflow")
def test_lora_and_int8_are_left():
    model = attention_model()
    model.get_layer("a").key_dense.enable_lora(2)
    with pytest.raises(ValueError, match="LoRA"):
        keras_align.match_moments(model, DATA, moments="covariance")
    model = attention_model()
    model.get_layer("a").query_dense.quantize("int8")
    with pytest.raises(ValueError, match="int8"):
        keras_align.match_moments(model, DATA, moments="covariance")


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize("added", ["lora", "int8"])
def test_other_weights_are_not_restored(added):
    model = attention_model()
    matched = keras_align.match_moments(model, DATA, moments="covariance")
    query = model.get_layer("a").query_dense
    query.enable_lora(2) if added == "lora" else query.quantize("int8")
    start = values(model)
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot be restored"):
            matched.restore()
    assert same(values(model), start)


@pytest.mark.backends("tensorflow")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_texts_are_preprocessed_once(monkeypatch):
    from small_classifiers import TEXTS, classifier

    model, seen = classifier(), []
    original = type(model.preprocessor).call

    def call(self, x, *args, **kwargs):
        seen.extend(np.asarray(x).tolist())
        return original(self, x, *args, **kwargs)

    monkeypatch.setattr(type(model.preprocessor), "call", call)
    keras_align.match_moments(model, list(TEXTS), moments="covariance")
    assert {x.decode() if isinstance(x, bytes) else x for x in seen} == set(TEXTS)


@pytest.mark.backends("tensorflow")
def test_outputs_that_cannot_tell_are_noted():
    inputs = keras.Input((None, 16))
    x = layers.MultiHeadAttention(2, 4, name="a")(inputs, inputs)
    model = keras.Model(inputs, ops.argmax(x, axis=-1))
    matched = keras_align.match_moments(displaced(model), DATA)
    assert "not checked" in matched.rows[0].note
    broken = np.where(np.arange(16) == 3, np.nan, DATA)
    with pytest.raises(ValueError, match="not finite"):
        keras_align.match_moments(model, broken, moments="covariance")


@pytest.mark.backends("tensorflow")
def test_a_failure_changes_nothing(monkeypatch):
    from keras_align.adapters.projection_weights import ProjectionWeights

    inputs = keras.Input((None, 16))
    x = layers.MultiHeadAttention(2, 8)(inputs, inputs)
    model = displaced(keras.Model(inputs, layers.MultiHeadAttention(2, 8)(x, x)))
    start, calls = values(model), []

    def failing(weights, *values):
        calls.append(weights)
        if len(calls) == 4:  # the keys of the second layer
            raise MemoryError
        write(weights, *values)

    write = ProjectionWeights.write
    monkeypatch.setattr(ProjectionWeights, "write", failing)
    with pytest.raises(MemoryError):
        keras_align.match_moments(model, DATA, moments="covariance")
    assert len(calls) == 4 and same(values(model), start)


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"moments": "variance"}, "`moments`"),
        ({"ridge": -1.0}, "`ridge`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"layers": "missing"}, "`layers`"),
        ({"inputs": 3}, "`inputs`"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    model = attention_model()
    start = values(model)
    with pytest.raises(ValueError, match=message):
        keras_align.match_moments(model, **{"inputs": DATA, **options})
    assert same(values(model), start)


@pytest.mark.backends("tensorflow")
def test_mixed_precision_costs_rounding_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = attention_model()
    before = predictions(model).astype("float32")
    keras_align.match_moments(model, DATA, moments="mean")
    after = predictions(model).astype("float32")
    np.testing.assert_allclose(after, before, atol=0.03 * np.abs(before).max())
