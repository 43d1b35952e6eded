"""What adapters make of a call: whose tokens it is of, their masks, what is wrong."""

import keras
import keras_hub
import numpy as np
import pytest
from attention_classes import Idle
from keras import ops

from keras_align import alignments
from keras_align.adapters import AttentionAdapter, register_attention, registry
from keras_align.adapters.call_arguments import arguments_by_name
from keras_align.adapters.captured import split_heads
from keras_align.adapters.token_masks import token_masks
from keras_align.conversion import align_model
from keras_align.diagnostics import (
    alignment_report,
    measure_alignment,
    record_attention,
)
from keras_align.diagnostics.recording import records

pytestmark = [
    pytest.mark.slow_on("jax"),
    pytest.mark.filterwarnings("ignore:Layer .* looks like it has unbuilt"),
]

B, T, HEADS, SIZE = 2, 5, 2, 4
WIDTH = HEADS * SIZE
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)


class Own(keras.layers.Layer):
    """Attention of a user with the usual names; a test gives it a `call`."""

    def __init__(self, num_heads=HEADS, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.query = keras.layers.Dense(WIDTH)
        self.key = keras.layers.Dense(WIDTH)

    def build(self, shape):
        self.query.build(shape)
        self.key.build(shape)

    def call(self, x):
        return self.query(x) + self.key(x)


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def aligned(cls, adapter=None, **options):
    register_attention(cls, adapter)
    layer = cls(**options)
    layer.build((None, None, WIDTH))
    return align_model(layer, "mmd", 1.0)


def loss_of(layer, *args, **kwargs):
    layer(*args, **kwargs, training=True)
    (loss,) = layer.losses
    return float(ops.convert_to_numpy(loss))


def expected(layer, x, y, query_mask=None, key_mask=None):
    """Divergence of the queries of `x` and the keys of `y`."""
    shape = B, -1, HEADS, SIZE
    query, key = ops.reshape(layer.query(x), shape), ops.reshape(layer.key(y), shape)
    alignment = alignments.get_alignment("mmd")
    masks = {"query_mask": query_mask, "key_mask": key_mask}
    return float(ops.convert_to_numpy(ops.mean(alignment(query, key, **masks))))


def cached_attention():
    layer = keras_hub.layers.CachedMultiHeadAttention(HEADS, SIZE)
    layer.build((B, T, WIDTH), (B, T, WIDTH))
    return align_model(layer, "mmd", 1.0)


def test_arguments_have_the_order_of_the_signature():
    class Gathering:
        def call(self, x, *others, mask=None, **more):
            pass

        def plain(self, query, value, mask=None):
            pass

    gathering = Gathering()
    found = arguments_by_name(gathering.plain, (), {"mask": 3, "value": 2, "query": 1})
    assert list(found.items()) == [("query", 1), ("value", 2), ("mask", 3)]
    found = arguments_by_name(gathering.plain, (1,), {"training": True, "value": 2})
    assert list(found) == ["query", "value"]
    found = arguments_by_name(gathering.call, (1, 2, 3), {"training": True, "mask": 4})
    wanted = [("x", 1), ("mask", 4), ("others", (2, 3)), ("training", True)]
    assert list(found.items()) == wanted


@pytest.mark.parametrize("cross", [True, False])
def test_the_order_of_keywords_does_not_matter(cross):
    layer, x = cached_attention(), vectors(B, T, WIDTH)
    y = vectors(B, T, WIDTH, seed=1) if cross else x
    mask = MASK[:, None]
    first = loss_of(layer, query=x, value=y, attention_mask=mask)
    assert loss_of(layer, value=y, query=x, attention_mask=mask) == first
    assert loss_of(layer, attention_mask=mask, value=y, query=x) == first


@pytest.mark.parametrize("name", ["context", "memory", "encoder_output"])
@pytest.mark.parametrize("length", [T, 3])
def test_usual_names_of_the_source_of_keys(name, length):
    class Cross(Own):
        def call(self, x, source, attention_mask=None):
            return self.query(x)[:, :1] + self.key(source)[:, :1]

    names = {"Cross": Cross}
    exec(
        f"def call(self, x, {name}, attention_mask=None):\n"
        f"    return Cross.call(self, x, {name}, attention_mask)",
        names,
    )
    layer = aligned(type("Named", (Cross,), {"call": names["call"]}))
    x, y = vectors(B, T, WIDTH), vectors(B, length, WIDTH, seed=1)
    mask = MASK[:, :length]
    wanted = expected(layer, x, y, key_mask=mask)
    found = loss_of(layer, x, y, attention_mask=mask[:, None])
    assert found == pytest.approx(wanted, rel=1e-5)
    same = expected(layer, x, x, MASK, MASK)
    found = loss_of(layer, x, x, attention_mask=MASK[:, None])
    assert found == pytest.approx(same, rel=1e-5)


def test_the_source_of_keys_may_be_named():
    class Odd(Own):
        def call(self, x, pictures, attention_mask=None):
            return self.query(x)[:, :1] + self.key(pictures)[:, :1]

    x, y = vectors(B, T, WIDTH), vectors(B, T, WIDTH, seed=1)
    layer = aligned(Odd, AttentionAdapter(key_source="pictures"))
    wanted = expected(layer, x, y, key_mask=MASK)
    found = loss_of(layer, x, y, attention_mask=MASK[:, None])
    assert found == pytest.approx(wanted, rel=1e-5)

    class Ignored(Own):
        def call(self, x, context, attention_mask=None):
            return self.query(x) + self.key(x)

    layer = aligned(Ignored, AttentionAdapter(key_source=None))
    found = loss_of(layer, x, y, attention_mask=MASK[:, None])
    assert found == pytest.approx(expected(layer, x, x, MASK, MASK), rel=1e-5)


def test_unequal_numbers_of_tokens_are_cross_attention():
    class Odd(Own):
        def call(self, x, pictures, attention_mask=None):
            return self.query(x)[:, :1] + self.key(pictures)[:, :1]

    layer, x, y = aligned(Odd), vectors(B, T, WIDTH), vectors(B, 3, WIDTH, seed=1)
    wanted = expected(layer, x, y, key_mask=MASK[:, :3])
    found = loss_of(layer, x, y, attention_mask=MASK[:, None, :3])
    assert found == pytest.approx(wanted, rel=1e-5)


def test_a_mask_of_other_tokens_is_an_error():
    class Masked(Own):
        def call(self, x, attention_mask=None):
            return self.query(x) + self.key(x)

    layer, x = aligned(Masked), vectors(B, T, WIDTH)
    message = r"expected a mask of the shape \(2, 5\).* the shape \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        loss_of(layer, x, attention_mask=MASK[:, None, :3])
    with pytest.raises(ValueError, match=r"masks of the shapes \(2, 5\) and \(2, 3\)"):
        token_masks(MASK, None, MASK[:, None, :3], True)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_measure_and_loss_count_the_same_tokens(policy):
    keras.config.set_dtype_policy(policy)
    x, mask = keras.Input((T, WIDTH)), keras.Input((1, T), dtype="bool")
    layer = keras_hub.layers.CachedMultiHeadAttention(HEADS, SIZE, name="attention")
    model = keras.Model([x, mask], layer(x, x, attention_mask=mask))
    data = [vectors(B, T, WIDTH), MASK[:, None]]
    values = []
    for padding in (0.0, 9.0):
        data[0][~MASK] = padding
        values.append(measure_alignment(model, data).total)
    assert values[0] == values[1]
    plain = record_attention(model, data)["attention"]
    align_model(model, "mmd", 1.0)
    for record in (plain, record_attention(model, data)["attention"]):
        np.testing.assert_array_equal(record.query_mask, MASK)
        np.testing.assert_array_equal(record.key_mask, MASK)
    model(data, training=True)
    alignment = alignments.get_alignment("mmd")
    wanted = alignment(plain.query, plain.key, query_mask=MASK, key_mask=MASK)
    (loss,) = model.losses
    loss, wanted = ops.convert_to_numpy(loss), ops.convert_to_numpy(ops.mean(wanted))
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_equal_inputs_of_two_tensors_are_measured_as_they_are_trained():
    x = keras.Input((T, WIDTH))
    layer = keras_hub.layers.CachedMultiHeadAttention(HEADS, SIZE, name="attention")
    y = layer(x, x + 0.0, attention_mask=MASK[:, None])
    record = record_attention(keras.Model(x, y), vectors(B, T, WIDTH))["attention"]
    assert record.query_mask.all() and not record.key_mask.all()


def test_wrong_arguments_of_an_adapter_are_named():
    for wrong in ({"query": "q"}, {"key": "k"}):
        with pytest.raises(ValueError, match=r"`query` and `key` .*together.*Received"):
            AttentionAdapter(**wrong)
    with pytest.raises(ValueError, match="heads_first=True"):
        AttentionAdapter(query="q", key="k", heads_first=True)

    class Misspelt(Own):
        pass

    for wrong in ("mask", "key_source"):
        register_attention(Misspelt, AttentionAdapter(**{wrong: "attn"}))
        layer = Misspelt()
        layer.build((None, T, WIDTH))
        with pytest.raises(ValueError, match=rf"\['x'\]. Received: {wrong}='attn'"):
            align_model(layer)
        assert type(layer) is Misspelt


def test_named_projections_go_before_the_usual_method():
    class Both(Own):
        def call(self, x):
            return self._compute_attention(x, None, self.query(x), self.key(x))

        def _compute_attention(self, x, mask, query, key):
            return query + key

    layer = aligned(Both, AttentionAdapter(query="query", key="key"))
    x = vectors(B, T, WIDTH)
    assert loss_of(layer, x) == pytest.approx(expected(layer, x, x), rel=1e-5)


def test_numbers_of_heads_from_numpy():
    class Numpy(Own):
        pass

    layer, x = aligned(Numpy, num_heads=np.int64(HEADS)), vectors(B, T, WIDTH)
    assert loss_of(layer, x) == pytest.approx(expected(layer, x, x), rel=1e-5)
    assert type(layer.adapter.num_heads(layer)) is int
    layer.num_heads = True
    with pytest.raises(ValueError, match="does not tell the number of its heads"):
        layer.adapter.num_heads(layer)


def test_the_report_says_what_align_model_says():
    class Misnamed(Own):
        head_dim = SIZE

    register_attention(Misnamed, AttentionAdapter(query="nope", key="nada"))
    layer = Misnamed()
    layer.build((None, T, WIDTH))
    (row,) = alignment_report(layer).rows
    with pytest.raises(ValueError) as error:
        align_model(layer)
    assert row.note == str(error.value) and "nope" in row.note


@pytest.mark.parametrize("tokens", [HEADS, None])
def test_heads_first_with_as_many_tokens_as_heads(tokens):
    class HeadsFirst(Own):
        def call(self, x):
            x = [self.query(x), self.key(x)]
            x = [ops.reshape(y, (-1, y.shape[1], HEADS, SIZE)) for y in x]
            return self._compute_attention(*(ops.transpose(y, (0, 2, 1, 3)) for y in x))

        def _compute_attention(self, query, key):
            self.last = query
            return query + key

    class TokensFirst(HeadsFirst):
        def call(self, x):
            x = [self.query(x), self.key(x)]
            x = [ops.reshape(y, (-1, y.shape[1], HEADS, SIZE)) for y in x]
            return self._compute_attention(*x)

    for cls, right, wrong in (
        (HeadsFirst, AttentionAdapter(heads_first=True), AttentionAdapter()),
        (TokensFirst, AttentionAdapter(), AttentionAdapter(heads_first=True)),
    ):
        register_attention(cls, wrong)
        layer = cls()
        layer.build((None, tokens, WIDTH))
        before = dict(vars(layer))
        with pytest.raises(ValueError, match="should have queries"):
            align_model(layer)
        assert vars(layer) == before
        x, layer = vectors(B, HEADS, WIDTH), aligned(cls, right)
        assert loss_of(layer, x) == pytest.approx(expected(layer, x, x), rel=1e-5)


def attention_model():
    inputs = keras.Input((T, WIDTH))
    layer = keras.layers.MultiHeadAttention(HEADS, SIZE, name="attention")
    return keras.Model(inputs, layer(inputs, inputs)), layer


@pytest.mark.parametrize("convert", [False, True])
def test_a_recording_inside_another(convert):
    class Probe(keras.layers.Layer):
        """Looks into an encoder while the model that holds it runs."""

        def call(self, x):
            if not isinstance(x, keras.KerasTensor) and probing:
                inner.append(record_attention(encoder, data)["attention"])
            return x

    (encoder, layer), data = attention_model(), vectors(B, T, WIDTH)
    inner, probing = [], []
    model = keras.Model(encoder.input, encoder(Probe()(encoder.input)))
    if convert:
        align_model(model)
    cls, (wanted,) = type(layer), record_attention(model, data).values()
    probing.append(True)
    outer = record_attention(model, data)
    assert len(outer) == 2  # the call of the inner one, then its own
    for record in (*inner, *outer.values()):
        np.testing.assert_array_equal(record.query, wanted.query)
    assert type(layer) is cls and "call" not in vars(layer)


def test_nothing_is_recorded_between_batches():
    (model, layer), data = attention_model(), vectors(B, T, WIDTH)
    parts = records(model, data, batch_size=1, scores=False)
    assert next(parts)[0] == "attention" and "call" not in vars(layer)
    model(data)
    assert len(list(parts)) == 1


def test_a_recording_leaves_a_call_of_the_instance():
    (model, layer), calls = attention_model(), []
    plain = layer.call

    def call(*args, **kwargs):
        calls.append(1)
        return plain(*args, **kwargs)

    layer.__dict__["call"] = call
    record_attention(model, vectors(B, T, WIDTH))
    assert vars(layer)["call"] is call and len(calls) == 1


def test_a_call_of_the_instance_is_refused():
    class Wrapped(Own):
        pass

    register_attention(Wrapped)
    inputs = keras.Input((T, WIDTH))
    for layer in (Wrapped(name="a"), keras.layers.MultiHeadAttention(2, 4, name="a")):
        args = (inputs,) if isinstance(layer, Wrapped) else (inputs, inputs)
        model, cls, call = keras.Model(inputs, layer(*args)), type(layer), layer.call
        layer.__dict__["call"] = lambda *args, call=call, **kwargs: call(*args)
        with pytest.raises(ValueError, match=r"'a'.* `call` of its own.*Received"):
            align_model(model)
        assert type(layer) is cls
        (row,) = alignment_report(model).rows
        assert "`call` of its own" in row.note
        del layer.__dict__["call"]
        align_model(model)


def test_a_recording_that_captures_nothing_is_an_error():
    class Silent(Own):
        pass

    register_attention(Silent, Idle())
    inputs = keras.Input((T, WIDTH))
    other = keras.layers.MultiHeadAttention(HEADS, SIZE)(inputs, inputs)
    model = keras.Model(inputs, [Silent()(inputs), other])
    with pytest.raises(RuntimeError, match="Silent captured no queries"):
        measure_alignment(model, vectors(B, T, WIDTH))


def test_a_boolean_mask_given_to_an_adapter_of_additive_ones():
    adapter = AttentionAdapter(additive_mask=True)
    for mask in (MASK[:, None], np.where(MASK, 0.0, -1e9)[:, None]):
        query, key = adapter.token_masks(None, {"attention_mask": mask}, True)
        np.testing.assert_array_equal(query, MASK)
        np.testing.assert_array_equal(key, MASK)


def test_all_projections_of_a_call_count():
    class Twice(Own):
        def call(self, x, y, times=2):
            queries = [self.query(each) for each in (x, y)]
            keys = [self.key(each) for each in (x, y)[:times]]
            return sum(queries) + sum(keys)

    layer, x, y = aligned(Twice), vectors(B, T, WIDTH), vectors(B, T, WIDTH, seed=1)
    layer(x, y, training=True)
    wanted = (expected(layer, x, x) + expected(layer, y, y)) / 2
    found = float(ops.convert_to_numpy(sum(layer.losses)))
    assert found == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match=r"as many calls.* Received: 2 and 1 calls"):
        layer(x, y, times=1, training=True)


class OfNodes(Own):
    """A registered layer on `(nodes, features)`, which has no axis of samples."""

    def call(self, x):
        return ops.matmul(self.query(x), ops.transpose(self.key(x)))


class OfSplitNodes(OfNodes):
    """Its projections have an axis of heads: `(nodes, N, H)`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        shape = HEADS, SIZE
        self.query = keras.layers.EinsumDense("te,enh->tnh", shape)
        self.key = keras.layers.EinsumDense("te,enh->tnh", shape)
        self.head_dim = SIZE

    def build(self, shape):
        super().build((None, WIDTH))

    def call(self, x):
        return ops.sum(self.query(x) * self.key(x), axis=(1, 2))


class AttendingToNodes(OfSplitNodes):
    """Hands them to the usual method."""

    def call(self, x):
        return self._compute_attention(self.query(x), self.key(x))

    def _compute_attention(self, query, key):
        return ops.sum(query * key, axis=(1, 2))


@pytest.mark.parametrize(
    "cls, expected",
    [
        (OfNodes, r"expected a projection \(B, T, 8\) or \(B, T, 2, 4\)"),
        (OfSplitNodes, r"expected a projection \(B, T, 8\) or \(B, T, 2, 4\)"),
        (AttendingToNodes, r"should have queries \(B, T, 2, 4\)"),
    ],
)
def test_a_pair_without_an_axis_of_tokens_is_an_error(cls, expected):
    layer, nodes = aligned(cls, name="nodes"), vectors(7, WIDTH)
    found = {2: r"\(7, 8\)", 3: r"\(7, 2, 4\)"}[len(layer.query(nodes).shape)]
    message = rf"'nodes'.*{expected}.*{found}.*batch axis.*AttentionAdapter"
    with pytest.raises(ValueError, match=message):
        loss_of(layer, nodes)
    with pytest.raises(ValueError, match=message):
        record_attention(layer, nodes)
    layer(nodes)  # without training nothing is aligned


def test_a_fused_projection_without_an_axis_of_tokens_is_an_error():
    with pytest.raises(
        ValueError, match=r"\(B, T, 24\).*Received: the shape \(7, 24\)"
    ):
        split_heads(vectors(7, 24), Own(), 3 * HEADS, SIZE)


def test_a_batch_axis_makes_nodes_the_tokens_of_a_sample():
    layer, nodes = aligned(Own), vectors(B, T, WIDTH)
    assert loss_of(layer, nodes) == pytest.approx(expected(layer, nodes, nodes), 1e-5)


def test_queries_of_video_prism_are_scaled_as_learned():
    layers = keras_hub.src.models.video_prism.video_prism_layers
    layer = layers.VideoPrismAttention(HEADS, SIZE, WIDTH, use_per_dim_scale=True)
    layer.build((None, T, WIDTH))
    scale = layer.per_dim_scale_layer.per_dim_scale
    scale.assign(np.arange(SIZE, dtype="float32"))
    align_model(layer, "mmd", 1.0)
    x = vectors(B, T, WIDTH)
    query = layer.query_dense(x) * ops.softplus(scale) / np.log(2.0)
    alignment = alignments.get_alignment("mmd")
    wanted = ops.mean(alignment(query, layer.key_dense(x)))
    assert loss_of(layer, x, x) == pytest.approx(
        float(ops.convert_to_numpy(wanted)), rel=1e-4
    )


def test_loading_names_the_class_to_register(monkeypatch):
    class Unknown(Own):
        pass

    class Block(keras.layers.Layer):
        def build(self, shape):
            self.mixer = Unknown(name="mixer")
            self.mixer.build(shape)

        def call(self, x):
            return self.mixer(x)

    register_attention(Unknown)
    inputs = keras.Input((T, WIDTH))
    layers = Unknown(), Block()
    align_model(keras.Model(inputs, [layer(inputs) for layer in layers]))
    monkeypatch.delitem(registry._REGISTRY, Unknown)
    for layer in layers:
        config = layer.get_config()
        message = r"0 were rebuilt.*Call `keras_align.register_attention\(Unknown\)`"
        with pytest.raises(ValueError, match=message):
            type(layer).from_config(config).build((None, T, WIDTH))
