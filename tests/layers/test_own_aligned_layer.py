"""`AlignedAttention` as the base of a layer that is no `MultiHeadAttention`."""

import keras
import numpy as np
import oracles
import pytest
from contracts import tokens
from execution import array
from keras import layers, ops

import keras_align

pytestmark = pytest.mark.slow_on("jax")

X = tokens(5, batch=4)
MASK = np.arange(5) < np.array([[5], [3], [2], [0]])


@keras.saving.register_keras_serializable("test_own_aligned_layer")
class LinearAttention(keras_align.AlignedAttention):
    """Attention of linear cost (Katharopoulos et al. 2020), with grouped queries."""

    def __init__(self, num_heads=4, num_key_value_heads=2, head_dim=4, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.num_key_value_heads = num_heads, num_key_value_heads
        self.head_dim, self.supports_masking = head_dim, True
        self.to_q = project("to_q", num_heads, head_dim)
        self.to_k = project("to_k", num_key_value_heads, head_dim)
        self.to_v = project("to_v", num_key_value_heads, head_dim)

    def build(self, input_shape):
        for each in (self.to_q, self.to_k, self.to_v):
            each.build(input_shape)

    def call(self, x, mask=None):
        query, key, value = self.to_q(x), self.to_k(x), self.to_v(x)
        self.add_alignment_loss(query, key, mask, mask)
        repeats = self.num_heads // self.num_key_value_heads
        key, value = (ops.repeat(each, repeats, axis=2) for each in (key, value))
        query, key = ops.elu(query) + 1.0, ops.elu(key) + 1.0
        memory = ops.einsum("bsnh,bsnd->bnhd", key, value)
        return ops.einsum("btnh,bnhd->btnd", query, memory)

    def get_config(self):
        names = ("num_heads", "num_key_value_heads", "head_dim")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


class Guarded(keras_align.AlignedAttention):
    """Hands over in training alone; it has no `build` and usual names."""

    num_heads, head_dim = 2, 4

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.query, self.key = (project(name, 2, 4) for name in ("query", "key"))

    def call(self, x, training=None):
        query, key = self.query(x), self.key(x)
        if training:
            self.add_alignment_loss(query, key)
        return query + key


def project(name, heads, size):
    return layers.EinsumDense("btd,dnh->btnh", (None, heads, size), name=name)


def model_of(*attention):
    x = inputs = keras.Input((5, 8))
    outputs = [layers.GlobalAveragePooling2D()(each(x)) for each in attention]
    return keras.Model(inputs, layers.Dense(1)(sum(outputs)))


def compiled(model, rate=0.0):
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def divergence(layer, x, mask=None):
    """Mean over samples and key heads of the MMD of grouped queries and keys."""
    query, key = array(layer.to_q(x)), array(layer.to_k(x))
    groups = query.reshape(*query.shape[:2], 2, 2, 4)
    query = np.concatenate([groups[:, :, :, 0], groups[:, :, :, 1]], axis=1)
    masks = None if mask is None else np.tile(mask, (1, 2)), mask
    values = oracles.maximum_mean_discrepancy(query, key, *masks, bandwidth=2.0)
    return np.mean(values)


def test_the_loss_is_that_of_grouped_queries_and_real_tokens():
    layer = LinearAttention(alignment="mmd", alignment_weight=2.0)
    for mask in (None, MASK):
        layer(X, mask=mask, training=True)
        (loss,) = layer.losses
        expected = 2.0 * divergence(layer, X, mask)
        assert float(array(loss)) == pytest.approx(expected, rel=1e-4)
    layer(X, training=False)
    assert not layer.losses


def test_training_logs_and_schedule():
    layer = LinearAttention(alignment="mmd", alignment_weight=2.0)
    model = compiled(model_of(layer))
    logs = model.fit(X, np.zeros(4), verbose=0).history
    assert logs["alignment_loss"] == pytest.approx([divergence(layer, X)], rel=1e-4)
    schedule = keras_align.AlignmentWeightSchedule(start_step=9)
    task = model.fit(X, np.zeros(4), callbacks=[schedule], verbose=0).history["loss"]
    assert logs["loss"][0] == pytest.approx(task[0] + 2.0 * layer.alignment_loss)
    layer.alignment_weight = 1.0
    (loss,) = model.fit(X, np.zeros(4), verbose=0).history["loss"]
    assert loss == pytest.approx(task[0] + layer.alignment_loss)


def test_files(tmp_path):
    model = compiled(model_of(LinearAttention(alignment="ct", alignment_weight=0.5)))
    model.fit(X, np.zeros(4), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    layer = loaded.layers[1]
    assert (type(layer), layer.alignment_weight) == (LinearAttention, 0.5)
    for weight, same in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(array(weight), array(same))
    loaded.fit(X, np.zeros(4), verbose=0)


@pytest.mark.parametrize("cls", [LinearAttention, Guarded])
def test_report_and_measure(cls):
    layer = cls(alignment="mmd", name="own")
    model = model_of(layer)
    (row,) = keras_align.alignment_report(model).rows
    assert (row.path, row.num_heads, row.head_size) == ("own", layer.num_heads, 4)
    assert row.alignment == "MaximumMeanDiscrepancy"
    (record,) = keras_align.record_attention(model, X).values()
    projection = layer.to_q if cls is LinearAttention else layer.query
    np.testing.assert_allclose(record.query, array(projection(X)), atol=1e-6)
    measure = keras_align.measure_alignment(model, X)
    assert measure.values.shape == (1, layer.num_heads) and measure.total > 0.0


def test_a_layer_without_a_build_of_its_own():
    layer = Guarded(alignment="ct")
    model = compiled(model_of(layer), 0.1)
    (built,) = (x for x in model.layers if x is layer)
    assert built.alignment.built and len(built.trainable_weights) == 2 + 12
    logs = model.fit(X, np.zeros(4), verbose=0).history
    assert "alignment_loss" in logs


def test_plain_and_aligned_later():
    layer = LinearAttention(alignment=None, name="own")
    model = model_of(layer)
    before = array(model(X))
    assert not layer.losses and layer.alignment_loss is None
    keras_align.align_model(model, "mmd")
    np.testing.assert_array_equal(array(model(X)), before)
    assert "alignment_loss" in compiled(model).fit(X, np.zeros(4), verbose=0).history


def test_strip_and_without_alignment():
    model = model_of(LinearAttention(alignment="mmd"), LinearAttention(alignment=None))
    before = array(model(X))
    weights = len(model.weights)
    with keras_align.without_alignment(model):
        assert model.layers[1].alignment is None
    assert model.layers[1].alignment is not None and len(model.weights) == weights
    keras_align.strip_alignment(model)
    np.testing.assert_array_equal(array(model(X)), before)
    assert type(model.layers[1]) is LinearAttention
    model(X, training=True)
    assert not model.losses


@pytest.mark.backends("tensorflow")
def test_nothing_is_computed_outside_training():
    import tensorflow as tf
    from graph_operations import operations

    class Silent(LinearAttention):
        def add_alignment_loss(self, *args, **kwargs):
            pass

    counts = []
    for cls, alignment in ((LinearAttention, "ct"), (Silent, "ct")):
        model = model_of(cls(alignment=alignment))
        function = tf.function(lambda x, model=model: model(x, training=False))
        counts.append(operations(function.get_concrete_function(X)))
    assert counts[0] == counts[1]


def test_projections_that_are_not_the_heads():
    class Down(LinearAttention):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.query, self.key = layers.Dense(3), layers.Dense(3)

        def build(self, shape):
            super().build(shape)
            self.query.build(shape), self.key.build(shape)

        def call(self, x):
            self.query(x), self.key(x), self.key(x)
            return super().call(x)

    layer = Down(alignment="mmd", name="own")
    (record,) = keras_align.record_attention(model_of(layer), X).values()
    np.testing.assert_allclose(record.query, array(layer.to_q(X)), atol=1e-6)


def test_what_does_not_fit_is_named():
    layer = LinearAttention(alignment="mmd")
    layer(X)
    with pytest.raises(
        ValueError, match=r"`query` and `key` must be of the shapes.*Received"
    ):
        layer.add_alignment_loss(ops.ones((4, 5, 8)), ops.ones((4, 5, 2, 4)))
    with pytest.raises(ValueError, match="`key_mask` must be of shape"):
        pair = ops.ones((4, 5, 2, 4)), ops.ones((4, 5, 2, 4))
        layer.add_alignment_loss(*pair, key_mask=ops.ones((4, 3), "bool"))
    with pytest.raises(ValueError, match="`query_mask` must be boolean"):
        layer.add_alignment_loss(*pair, query_mask=ops.ones((4, 5)))

    class Headless(keras_align.AlignedAttention):
        def build(self, shape):
            pass

        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"`num_heads` and `head_dim`.*num_heads=None"):
        Headless(alignment="ct").build((None, 5, 8))
