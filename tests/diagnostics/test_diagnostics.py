"""record_attention and measure_alignment."""

import keras
import numpy as np
import pytest
import small_models
from execution import array
from parameters import slow_but

from keras_align.conversion import align_model
from keras_align.diagnostics import measure_alignment, record_attention
from keras_align.layers import AlignedMultiHeadAttention

pytestmark = pytest.mark.slow_on("jax")

to_numpy = keras.ops.convert_to_numpy


def gaussian_mmd(x, y, bandwidth):
    """Unbiased squared MMD of two samples `(n, H)`, pair by pair in float64."""

    def kernel(a, b):
        distance = np.square(a[:, None].astype("float64") - b[None]).sum(-1)
        return np.exp(-distance / (2 * bandwidth**2))

    def within(a):
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def attention_model(length=None, **options):
    """One `MultiHeadAttention` with a padding mask as input, wider than its layer."""
    inputs = keras.Input((length, 16), name="tokens")
    mask = keras.Input((length,), dtype="bool", name="mask")
    layer = keras.layers.MultiHeadAttention(
        2, 8, name="attention", bias_initializer="normal", **options
    )
    x = layer(inputs, inputs, attention_mask=mask[:, None])
    return keras.Model({"tokens": inputs, "mask": mask}, x)


def padded(length=7, extra=0):
    """Inputs of `attention_model`; padding holds large numbers."""
    rng = np.random.default_rng(0)
    real = np.arange(length)[None] < np.array([[7], [3], [1], [5], [2]])
    mask = np.pad(real, ((0, 0), (0, extra)))
    values = rng.normal(size=(5, length, 16))
    values = np.pad(values, ((0, 0), (0, extra), (0, 0)))
    return {"tokens": np.where(mask[..., None], values, 9.0), "mask": mask}


def test_measure_is_the_mmd_of_the_pooled_real_tokens():
    model, inputs = attention_model(), padded()
    layer = model.get_layer("attention")
    real = inputs["tokens"][inputs["mask"]].astype("float32")[None]
    query = to_numpy(layer.query_dense(real))[0]  # (tokens, N, H)
    key = to_numpy(layer.key_dense(real))[0]
    measure = measure_alignment(model, inputs, batch_size=2)
    expected = [gaussian_mmd(query[:, n], key[:, n], 8**0.5) for n in range(2)]
    assert list(measure.per_layer) == ["attention"]
    assert measure.bandwidths == {"attention": 8**0.5}
    np.testing.assert_allclose(measure.values, [expected], rtol=1e-4, atol=1e-6)
    assert measure.total == pytest.approx(sum(expected), rel=1e-4)
    other = measure_alignment(model, inputs, bandwidth=0.7)
    expected = [gaussian_mmd(query[:, n], key[:, n], 0.7) for n in range(2)]
    np.testing.assert_allclose(other.values, [expected], rtol=1e-4, atol=1e-6)


def test_padding_and_batches_change_nothing():
    model = attention_model()
    expected = measure_alignment(model, padded()).values
    for inputs, batch_size in ((padded(extra=5), 32), (padded(), 1), (padded(), 4)):
        values = measure_alignment(model, inputs, batch_size=batch_size).values
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


def test_padding_takes_no_part_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = padded()
    (record,) = record_attention(attention_model(), inputs).values()
    np.testing.assert_array_equal(record.query_mask, inputs["mask"])
    np.testing.assert_array_equal(record.key_mask, inputs["mask"])
    assert record.query.dtype == record.scores.dtype == "float32"


def test_equal_clouds_are_at_no_distance_and_displaced_ones_far():
    model, inputs = attention_model(), padded()
    layer = model.get_layer("attention")
    layer.key_dense.set_weights(layer.query_dense.get_weights())
    tokens = inputs["mask"].sum()
    assert np.all(np.abs(measure_alignment(model, inputs).values) < 2 / tokens)
    layer.key_dense.bias.assign(layer.key_dense.bias + 50.0)
    assert np.all(measure_alignment(model, inputs).values > 0.2)


@pytest.mark.parametrize(
    "name", slow_but(("functional", "shared", "classifier"), small_models.BUILDERS)
)
def test_plain_and_aligned_models_measure_the_same(name):
    model = small_models.BUILDERS[name]()
    inputs, _ = small_models.data(name)
    before = measure_alignment(model, inputs)
    after = measure_alignment(align_model(model), inputs)
    assert before.per_layer.keys() == after.per_layer.keys()
    for path in before.per_layer:
        np.testing.assert_array_equal(after.per_layer[path], before.per_layer[path])


def test_a_sample_of_the_tokens_is_seeded_and_close():
    model = attention_model()
    layer = model.get_layer("attention")
    layer.key_dense.bias.assign(layer.key_dense.bias + 1.0)
    rng = np.random.default_rng(1)
    inputs = {"tokens": rng.normal(size=(60, 10, 16)), "mask": np.ones((60, 10), bool)}
    whole = measure_alignment(model, inputs).values
    first, again = (
        measure_alignment(model, inputs, max_tokens=300, batch_size=size).values
        for size in (60, 60)
    )
    other = measure_alignment(model, inputs, max_tokens=300, seed=1).values
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(first, whole, rtol=0.25)


def test_measure_prints_as_a_table():
    lines = str(measure_alignment(attention_model(), padded())).splitlines()
    assert lines[0].split()[:3] == ["layer", "bandwidth", "MMD"]
    assert lines[2].startswith("attention") and lines[-1].startswith("total MMD")


def test_records_are_what_the_layer_computes():
    model, inputs = attention_model(dropout=0.3), padded()
    (record,) = record_attention(model, inputs, batch_size=2).values()
    layer, mask = model.get_layer("attention"), inputs["mask"]
    tokens = inputs["tokens"].astype("float32")
    _, scores = layer(
        tokens, tokens, attention_mask=mask[:, None], return_attention_scores=True
    )
    query, key = map(array, (layer.query_dense(tokens), layer.key_dense(tokens)))
    np.testing.assert_allclose(record.scores, array(scores), atol=1e-6)
    np.testing.assert_allclose(record.query, query, atol=1e-5)
    np.testing.assert_allclose(record.key, key, atol=1e-5)
    np.testing.assert_array_equal(record.query_mask, mask)
    np.testing.assert_array_equal(record.key_mask, mask)
    assert all(x.dtype == "float32" for x in (record.query, record.key, record.scores))


def test_records_of_cross_attention_grouped_queries_and_causal_masks():
    query = keras.Input((5, 16), name="query")
    value = keras.Input((3, 16), name="value")
    layer = keras.layers.GroupQueryAttention(4, 6, 2, name="grouped")
    x = layer(query, value)
    x = keras.layers.MultiHeadAttention(2, 8, name="causal")(x, x, use_causal_mask=True)
    model = keras.Model([query, value], x)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, size, 16)).astype("float32") for size in (5, 3)]
    records = record_attention(model, inputs)
    grouped, causal = records["grouped"], records["causal"]
    assert grouped.query.shape == (2, 5, 6, 4)
    assert grouped.key.shape == (2, 3, 6, 4)
    assert grouped.scores.shape == (2, 6, 5, 3)
    own = np.repeat(to_numpy(layer._key_dense(inputs[1])), 3, axis=2)
    np.testing.assert_allclose(grouped.key, own, atol=1e-5)
    assert np.all(np.triu(causal.scores[0, 0], 1) == 0)
    assert causal.query_mask.all() and causal.key_mask.all()


def test_attention_over_several_axes_has_one_axis_of_tokens():
    inputs = keras.Input((3, 4, 16))
    layer = keras.layers.MultiHeadAttention(2, 8, attention_axes=(1, 2), name="grid")
    model = keras.Model(inputs, layer(inputs, inputs))
    (record,) = record_attention(model, np.ones((2, 3, 4, 16), "float32")).values()
    assert record.query.shape == (2, 12, 2, 8)
    assert record.query_mask.shape == (2, 12)
    assert record.scores.shape == (2, 2, 12, 12)


def test_other_axes_join_the_batch():
    inputs = keras.Input((3, 4, 16))
    layer = keras.layers.MultiHeadAttention(2, 8, attention_axes=(2,))
    model = keras.Model(inputs, layer(inputs, inputs))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 16)).astype("float32")
    (record,) = record_attention(model, x).values()
    assert record.query.shape == (6, 4, 2, 8)
    products = np.einsum("btnh,bsnh->bnts", record.query, record.key) / 8**0.5
    weights = np.exp(products) / np.exp(products).sum(-1, keepdims=True)
    np.testing.assert_allclose(record.scores, weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch", [3, 5])
def test_a_mask_may_lack_the_batch_axis(batch):
    inputs = keras.Input((5, 16))
    allowed = np.broadcast_to(np.arange(5) < 3, (5, 5))
    layer = keras.layers.MultiHeadAttention(2, 8)
    model = keras.Model(inputs, layer(inputs, inputs, attention_mask=allowed))
    (record,) = record_attention(model, np.ones((batch, 5, 16), "float32")).values()
    np.testing.assert_array_equal(record.key_mask, [allowed[0]] * batch)


def test_the_mask_of_values_is_one_of_explicit_keys():
    inputs = keras.Input((5,), dtype="int32")
    values = keras.layers.Embedding(10, 8, mask_zero=True)(inputs)
    keys = values + keras.layers.Embedding(5, 8)(keras.ops.arange(5))
    layer = keras.layers.MultiHeadAttention(2, 8)
    model = keras.Model(inputs, layer(keys, values, keys))
    (record,) = record_attention(model, np.array([[1, 2, 3, 0, 0]])).values()
    np.testing.assert_array_equal(record.key_mask, record.scores.max((1, 2)) > 0.0)


def test_a_subclass_may_take_other_arguments():
    class OfOne(AlignedMultiHeadAttention):
        def call(self, x, training=None):
            return super().call(x, x, training=training)

        def build(self, shape):
            super().build(shape, shape)

        def compute_output_spec(self, x, training=None):
            return super().compute_output_spec(x, x, training=training)

    inputs = keras.Input((5, 16))
    model = keras.Model(inputs, OfOne(2, 8)(inputs))
    x = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("float32")
    (record,) = record_attention(model, x).values()
    assert record.query.shape == record.key.shape == (2, 5, 2, 8)


def test_attention_that_a_block_makes_as_it_is_built_is_recorded():
    class Block(keras.layers.Layer):
        def build(self, shape):
            self.attention = keras.layers.MultiHeadAttention(2, 8)
            self.attention.build(shape, shape)

        def call(self, x):
            return self.attention(x, x)

    class Blocks(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def call(self, x, training=None):
            return self.block(x)

    assert len(record_attention(Blocks(), np.ones((2, 5, 16), "float32"))) == 1


def test_masks_of_attention_over_several_axes_are_kept():
    grid = np.ones((2, 3, 4), bool)
    grid[:, 2] = False  # the last row is padding
    inputs = keras.Input((3, 4, 16), name="grid")
    mask = keras.Input((3, 4, 3, 4), dtype="bool", name="mask")
    layer = keras.layers.MultiHeadAttention(2, 8, attention_axes=(1, 2))
    model = keras.Model([inputs, mask], layer(inputs, inputs, attention_mask=mask))
    allowed = grid[:, :, :, None, None] & grid[:, None, None]
    (record,) = record_attention(
        model, {"grid": np.ones((2, 3, 4, 16), "float32"), "mask": allowed}
    ).values()
    np.testing.assert_array_equal(record.key_mask, grid.reshape(2, 12))


def test_masks_may_be_given_by_position():
    class Block(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = keras.layers.MultiHeadAttention(2, 8)

        def call(self, x, training=None):
            mask = keras.ops.any(x != 0.0, axis=-1)
            return self.attention(x, x, x, mask)

    x = np.ones((2, 5, 16), "float32")
    x[:, 3:] = 0.0
    (record,) = record_attention(Block(), x).values()
    np.testing.assert_array_equal(record.key_mask, np.any(x != 0.0, axis=-1))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_projections_are_the_ones_that_are_measured():
    model, inputs = attention_model(), padded()
    before = record_attention(model, inputs)["attention"]
    distance = measure_alignment(model, inputs).total
    model.quantize("int8")
    after = record_attention(model, inputs)["attention"]
    np.testing.assert_allclose(after.query, before.query, rtol=0.02, atol=0.05)
    assert np.abs(after.query - before.query).max() > 0.0
    assert measure_alignment(model, inputs).total == pytest.approx(distance, abs=0.02)


def test_calls_of_a_shared_layer_are_kept_apart():
    model = small_models.shared()
    records = record_attention(model, small_models.vectors(), batch_size=3)
    (path,) = (path for path in records if "@" not in path)
    assert list(records) == [path, f"{path}@2", f"{path}@3"]
    assert {record.query.shape[0] for record in records.values()} == {8}
    assert not np.allclose(records[path].query, records[f"{path}@2"].query)


def test_texts_go_through_the_preprocessor():
    class Reader(keras.Model):
        def preprocessor(self, texts):
            sizes = np.array([len(text) for text in texts], "float32")
            return np.tile(sizes[:, None, None], (1, 4, 16))

    inputs = keras.Input((4, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    model = Reader(inputs, x)
    records = record_attention(model, ["a", "text", "or two"], batch_size=2)
    assert records["attention"].query.shape == (3, 4, 2, 8)


def test_nothing_stays_behind_on_the_layers():
    model = attention_model()
    before = [sorted(vars(layer)) for layer in model._flatten_layers()]
    record_attention(model, padded())
    with pytest.raises(Exception, match="shape"):
        record_attention(model, {**padded(), "mask": np.ones((5, 3), bool)})
    assert [sorted(vars(layer)) for layer in model._flatten_layers()] == before
    assert model.losses == []


def test_wrong_arguments_are_named():
    model, inputs = attention_model(), padded()
    with pytest.raises(ValueError, match="bandwidth=-1"):
        measure_alignment(model, inputs, bandwidth=-1)
    with pytest.raises(ValueError, match="`inputs` must hold arrays of equally"):
        measure_alignment(model, {**inputs, "mask": inputs["mask"][:2]})
    with pytest.raises(ValueError, match="at least one real token"):
        measure_alignment(model, {**inputs, "mask": inputs["mask"] & False})
    with pytest.raises(ValueError, match="calls no attention layer"):
        measure_alignment(keras.Sequential([keras.layers.Dense(1)]), np.ones((2, 3)))
