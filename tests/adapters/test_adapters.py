"""Adapters find the queries, keys and masks that attention classes work with."""

import re

import keras
import keras_hub
import numpy as np
import pytest
from attention_classes import HEADS, SIZE, WIDTH, Idle, Usual
from execution import array
from keras import ops
from keras_hub_models import FAMILIES
from parameters import slow_but

import keras_align
from keras_align import alignments
from keras_align.adapters import AttentionAdapter, register_attention
from keras_align.conversion import align_model, strip_alignment
from keras_align.diagnostics import alignment_report
from keras_align.diagnostics.recording import record_attention

pytestmark = [
    pytest.mark.slow_on("jax"),
    pytest.mark.filterwarnings("ignore:.*was passed an input with a mask"),
    pytest.mark.filterwarnings("ignore:.*looks like it has unbuilt state"),
]

B, T = 2, 5
MMD = alignments.get_alignment("mmd")


def vectors(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def split(x, heads=HEADS):
    return ops.reshape(x, (B, -1, heads, SIZE))


def loss_of(layer, *args, **kwargs):
    """What an aligned layer with weight 1 adds to the loss."""

    class Owner(keras.layers.Layer):
        def call(self, x, training=None):
            layer(*args, **kwargs)
            return x

    Owner()(vectors(1, 1), training=True)
    (loss,) = layer.losses
    return float(loss)


def expected(query, key, mask=None):
    return float(ops.mean(MMD(query, key, query_mask=mask, key_mask=mask)))


def test_projections_of_an_own_class():
    layer, x = Usual(), vectors(B, T, WIDTH)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    plain = layer(x, attention_mask=mask[:, None])
    align_model(layer, "mmd", 1.0)
    again = layer(x, attention_mask=mask[:, None])
    np.testing.assert_array_equal(array(again), array(plain))
    wanted = expected(split(layer.query(x)), split(layer.key(x)), mask)
    found = loss_of(layer, x, attention_mask=mask[:, None])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert abs(wanted - expected(split(layer.query(x)), split(layer.key(x)))) > 1e-3


def test_rotary_embedding_and_groups():
    """Llama's: keys repeated for each group, both rotated by position."""
    layer = keras_hub.src.models.llama.llama_attention.LlamaAttention(HEADS, 2)
    x, mask = vectors(B, T, WIDTH), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    layer.build(x.shape)
    align_model(layer, "mmd", 1.0)
    rotate = layer.rotary_embedding_layer
    query, key = rotate(layer._query_dense(x)), rotate(layer._key_dense(x))
    groups = ops.reshape(query, (B, T, 2, 2, SIZE))  # (B, T, key heads, in group, H)
    pooled = ops.concatenate([groups[:, :, :, 0], groups[:, :, :, 1]], axis=1)
    wanted = MMD(pooled, key, np.tile(mask, 2), mask)
    causal = np.tril(np.ones((T, T), bool)) & mask[:, None]
    found = loss_of(layer, x, attention_mask=causal)
    np.testing.assert_allclose(found, float(ops.mean(wanted)), rtol=1e-5)


def test_fused_projection():
    window = keras_hub.src.models.swin_transformer.swin_transformer_layers
    layer = window.WindowAttention(WIDTH, HEADS, window_size=2)
    x = vectors(B, 4, WIDTH)
    layer(x)
    align_model(layer, "mmd", 1.0)
    assert layer.adapter.head_size_of_weights(layer) == SIZE
    fused = ops.reshape(layer.qkv(x), (B, 4, 3, HEADS, SIZE))
    wanted = expected(fused[:, :, 0], fused[:, :, 1])
    np.testing.assert_allclose(loss_of(layer, x), wanted, rtol=1e-5)


def test_cross_attention_has_masks_of_its_own():
    layer = keras_hub.layers.CachedMultiHeadAttention(HEADS, SIZE)
    x, y = vectors(B, T, WIDTH), vectors(B, 3, WIDTH)
    mask = np.array([[1, 1, 1], [1, 0, 0]], bool)
    layer.build(x.shape, y.shape)
    align_model(layer, "mmd", 1.0)
    query, key = layer._query_dense(x), layer._key_dense(y)
    wanted = float(ops.mean(MMD(query, key, key_mask=mask)))
    found = loss_of(layer, query=x, value=y, attention_mask=mask[:, None])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_additive_masks_mean_the_same():
    adapter = AttentionAdapter(additive_mask=True)
    mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
    added = np.where(mask, 0.0, -1e9)[:, None, None]  # (B, 1, 1, S)
    query, key = adapter.token_masks(None, {"attention_mask": added}, True)
    np.testing.assert_array_equal(query, mask)
    np.testing.assert_array_equal(key, mask)


RECORDED = "gpt2", "llama", "t5", "gemma", "swin_transformer"


@pytest.mark.parametrize("name", slow_but(("gpt2", "llama", "gemma"), RECORDED))
def test_records_of_plain_and_aligned_layers_are_equal(name):
    model, inputs = FAMILIES[name]()
    plain = record_attention(model, inputs)
    aligned = record_attention(align_model(model), inputs)
    assert list(plain) == list(aligned)
    for path, record in plain.items():
        heads = alignment_report(model).rows[0].num_heads
        assert record.query.shape[2] == record.key.shape[2] == heads or "swin" in name
        np.testing.assert_array_equal(record.query, aligned[path].query)
        np.testing.assert_array_equal(record.key, aligned[path].key)
        assert record.query_mask.shape == record.query.shape[:2]
    if "swin" not in name:
        assert not next(iter(plain.values())).key_mask.all()


def test_an_own_class_survives_saving_and_cloning(tmp_path):
    inputs = keras.Input((T, WIDTH))
    model = keras.Model(inputs, Usual(name="own")(inputs))
    align_model(model, "ct", 0.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for other in (loaded, keras.models.clone_model(model)):
        (row,) = alignment_report(other).rows
        assert (row.class_name, row.alignment_weight) == ("AlignedUsual", 0.5)
    for weight, read in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), read.numpy())
    strip_alignment(loaded)
    assert type(loaded.get_layer("own")) is Usual


def test_an_adapter_that_captures_nothing_says_so():
    class Silent(Usual):
        pass

    register_attention(Silent, Idle())
    layer = Silent()
    layer.build((None, T, WIDTH))
    align_model(layer)
    with pytest.raises(RuntimeError, match="Silent captured no queries"):
        loss_of(layer, vectors(B, T, WIDTH))


def test_a_class_without_the_usual_names_is_refused_untouched():
    @register_attention
    class Odd(keras.layers.Layer):
        num_heads = 2

        def call(self, x):
            return x

    layer = Odd()
    layer.build((None, T, WIDTH))
    (row,) = alignment_report(layer).rows
    assert row.num_heads is None and "Odd has no projections" in row.note
    with pytest.raises(ValueError, match=r"Odd has no projections .* under the names"):
        align_model(layer)
    assert type(layer) is Odd


def of_own_class(cls, adapter, *args, **kwargs):
    """An aligned layer of a class that is registered with an adapter."""
    register_attention(cls, adapter)
    layer = cls(*args, **kwargs)
    layer.build((None, T, WIDTH))
    return align_model(layer, "mmd", 1.0)


def test_heads_that_do_not_fit_are_an_error():
    class TotalWidth(Usual):
        """`head_dim` as the width of all heads together."""

        def __init__(self):
            super().__init__()
            self.head_dim = WIDTH

    class HeadsFirst(Usual):
        def call(self, x):
            query, key = (split(dense(x)) for dense in (self.query, self.key))
            heads_first = (ops.transpose(y, (0, 2, 1, 3)) for y in (query, key))
            return self._compute_attention(*heads_first)

        def _compute_attention(self, query, key):
            return query

    x = vectors(B, T, WIDTH)
    layer = of_own_class(TotalWidth, None)
    with pytest.raises(ValueError, match=r"4 heads of size 16.*cannot have the shape"):
        loss_of(layer, x)
    layer = of_own_class(HeadsFirst, None)
    with pytest.raises(ValueError, match=r"(?s)\(B, T, 4, 4\).*`heads_first=True`"):
        loss_of(layer, x)
    strip_alignment(layer)
    right = of_own_class(HeadsFirst, AttentionAdapter(heads_first=True))
    wanted = ops.mean(MMD(split(right.query(x)), split(right.key(x))))
    assert loss_of(right, x) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("kind", ["subclass of Keras's", "argument mask"])
def test_padding_of_an_embedding_is_invisible(kind):
    class OfKeras(keras.layers.MultiHeadAttention):
        pass

    class Masked(Usual):
        supports_masking = True

        def call(self, x, mask=None):
            return super().call(x, None if mask is None else mask[:, None])

    register_attention(OfKeras)
    register_attention(Masked)
    inputs = keras.Input((T,))
    embedding = keras.layers.Embedding(9, WIDTH, mask_zero=True)
    x = embedding(inputs)
    x = Masked()(x) if kind == "argument mask" else OfKeras(HEADS, SIZE)(x, x)
    model = align_model(keras.Model(inputs, x), "mmd", 1.0)
    tokens, losses = np.array([[3, 1, 4, 0, 0], [1, 5, 2, 6, 0]]), []
    for padding in (0.0, 9.0):
        table = embedding.get_weights()[0]
        table[0] = padding
        embedding.set_weights([table])
        model(tokens, training=True)
        losses.append(float(sum(model.losses)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0] > 0.0


def test_a_class_that_is_not_registered_for_saving_can_be_cloned():
    class Container(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.attention = keras.layers.MultiHeadAttention(HEADS, SIZE)

        def build(self, shape):
            self.attention.build(shape, shape)

        def call(self, x):
            return self.attention(x, x)

    inputs = keras.Input((T, WIDTH))
    model = align_model(keras.Model(inputs, Container()(inputs)), "mmd", 0.5)
    (row,) = alignment_report(keras.models.clone_model(model)).rows
    assert row.alignment_weight == 0.5


ALIGNED = keras_align.AlignedMultiHeadAttention


@pytest.mark.parametrize(
    "wrong",
    [
        *("MyAttention", AttentionAdapter, ALIGNED, keras.layers.MultiHeadAttention),
        *(keras.Model, keras.layers.Dense),
    ],
)
def test_wrong_arguments_of_register_attention(wrong):
    with pytest.raises(ValueError, match=r"`cls` must be .*Received"):
        register_attention(wrong)
    with pytest.raises(ValueError, match=r"`adapter` must be .*Received"):
        register_attention(Usual, wrong)


def test_training_as_an_argument_that_the_class_lacks():
    x, y = vectors(B, T, WIDTH), vectors(B, 3, WIDTH)

    @register_attention
    class Cross(Usual):
        def call(self, x, value, attention_mask=None):
            return ops.matmul(self.query(x), ops.swapaxes(self.key(value), 1, 2))

    layer = Cross()
    layer.build((None, None, WIDTH))
    align_model(layer, "mmd", 1.0)
    layer(x, y, training=True)
    wanted = ops.mean(MMD(split(layer.query(x)), split(layer.key(y))))
    np.testing.assert_allclose(float(layer.losses[0]), float(wanted), rtol=1e-5)


def test_int8_projections_are_captured():
    layer, x = Usual(), vectors(B, T, WIDTH)
    layer.build((None, T, WIDTH))
    layer.query.quantize("int8")
    layer.key.quantize("int8")
    align_model(layer, "mmd", 1.0)
    wanted = expected(split(layer.query(x)), split(layer.key(x)))
    np.testing.assert_allclose(loss_of(layer, x), wanted, rtol=1e-5)


def test_esm_without_rotary_embedding():
    attention = keras_hub.src.models.esm.esm_attention.EsmSelfAttention
    layer, x = (
        attention(use_rotary=False, heads=HEADS, head_size=SIZE),
        vectors(B, T, WIDTH),
    )
    mask = np.ones((B, T), bool)
    layer(x, mask)
    align_model(layer, "mmd", 1.0)
    wanted = expected(split(layer.q_dense(x)), split(layer.k_dense(x)))
    np.testing.assert_allclose(loss_of(layer, x, mask), wanted, rtol=1e-5)


def test_layers_by_expression_range_and_dictionary():
    def aligned(**options):
        model = keras_align.align_model(FAMILIES["bart"]()[0], **options)
        rows = alignment_report(model).rows
        return [row.alignment and row.alignment[0] for row in rows]

    n = None
    paths = [row.path for row in alignment_report(FAMILIES["bart"]()[0]).rows]
    cross = ["cross" in path for path in paths]
    assert aligned(layers=re.compile("encoder")) == ["C", "C", n, n, n, n]
    by_expression = aligned(layers=re.compile("cross_attention"))
    assert [x is not None for x in by_expression] == cross
    assert aligned(layers=range(-2, 0)) == [n, n, n, n, "C", "C"]
    assert sum(cross) == 2
    mixed = aligned(alignment={re.compile("cross"): "mmd", 0: "ot"})
    assert mixed[0] == "O" and mixed.count("M") == 2 and mixed.count(n) == 3


def test_wrong_dictionaries_of_alignments_leave_the_model_alone():
    model = FAMILIES["gpt2"]()[0]
    for wrong, message in (
        ({0: "ct", range(2): "mmd"}, "chosen by more than one key"),
        ({}, "has layers as its keys"),
        ({"nothing": "ct"}, "matches none"),
        ({0: "cat"}, "`alignment` must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            align_model(model, wrong)
    with pytest.raises(ValueError, match="`layers` is None"):
        align_model(model, {0: "ct"}, layers=1)
    assert not alignment_report(model).aligned
