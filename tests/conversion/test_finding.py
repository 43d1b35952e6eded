"""Which attention of a model is found, and what is said of the rest."""

import keras
import numpy as np
import pytest
import small_models

from keras_align.adapters import AttentionAdapter, register_attention, registry
from keras_align.conversion import align_model
from keras_align.conversion.finding import find_attention
from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")

SHAPE = small_models.LENGTH, small_models.WIDTH


class CausalMHA(keras.layers.MultiHeadAttention):
    """Has no name of attention."""

    def call(self, query, value, key=None, **kwargs):
        return super().call(query, value, key, use_causal_mask=True, **kwargs)


class Grouped(keras.layers.GroupQueryAttention):
    def __init__(self):
        super().__init__(4, 4, 2)


class Luong(keras.layers.Attention):
    def call(self, inputs, **kwargs):
        return super().call(inputs, **kwargs)


class WithInner(keras.layers.MultiHeadAttention):
    """Holds attention that is found, beside its own that is not."""

    def __init__(self):
        super().__init__(2, 8)
        self.inner = keras.layers.MultiHeadAttention(2, 8)

    def build(self, query_shape, value_shape, key_shape=None):
        super().build(query_shape, value_shape, key_shape)
        self.inner.build(query_shape, value_shape)

    def call(self, query, value, key=None, **kwargs):
        return super().call(query, self.inner(value, value), **kwargs)


def functional(layer, plain=False):
    """A model of a layer that takes query and value, and plain attention if asked."""
    inputs = x = keras.Input(SHAPE)
    if plain:
        x = keras.layers.MultiHeadAttention(2, 8, name="plain")(x, x)
    of_list = isinstance(layer, keras.layers.Attention)
    return keras.Model(inputs, layer([x, x]) if of_list else layer(x, x))


UNREGISTERED = "class not registered, see keras_align.register_attention"
UNPROJECTED = "has no projections of queries and keys"
OTHERS = {
    "subclass": (lambda: CausalMHA(2, 8), UNREGISTERED),
    "grouped": (Grouped, UNREGISTERED),
    "subclass of Attention": (Luong, UNREGISTERED),
    "Attention": (keras.layers.Attention, UNPROJECTED),
    "AdditiveAttention": (keras.layers.AdditiveAttention, UNPROJECTED),
}


@pytest.mark.parametrize("case", OTHERS)
def test_attention_of_other_classes_is_in_the_report_and_the_errors(case):
    build, reason = OTHERS[case]
    layer = build()
    model = align_model(functional(layer, plain=True), "mmd")
    row = alignment_report(model).rows[-1]
    assert row.path == layer.name and row.class_name == type(layer).__name__
    assert (row.alignment, row.note) == (None, reason)
    hint = r"register_attention\(\w+\)`.*AttentionAdapter\(query=.*, key=.*\)"
    with pytest.raises(ValueError, match=f"{type(layer).__name__}.*{reason}.*{hint}"):
        align_model(functional(build()), "mmd")
    with pytest.raises(ValueError, match=f"matches none .*{reason}.*{hint}"):
        align_model(model, "mmd", layers=layer.name)
    with pytest.raises(ValueError, match=f"matches none .*{reason}"):
        align_model(model, "mmd", layers=layer)


def test_a_subclass_that_holds_attention_is_reported_beside_it():
    supported, others = find_attention(functional(WithInner()))
    assert [type(each.layer).__name__ for each in supported] == ["MultiHeadAttention"]
    assert [type(each.layer).__name__ for each in others] == ["WithInner"]


def test_the_error_without_attention_says_how_to_register_a_class():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"register_attention\(MyAttention\)"):
        align_model(model)


def test_the_hint_works(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", {})
    model = functional(CausalMHA(2, 8))
    register_attention(
        CausalMHA, AttentionAdapter(query="query_dense", key="key_dense")
    )
    align_model(model, "mmd")
    model.layers[-1](small_models.vectors(), small_models.vectors(), training=True)
    assert len(model.layers[-1].losses) == 1


class Around(keras.layers.Wrapper):
    def call(self, x):
        return self.layer(x)


class Collections(keras.layers.Layer):
    """Keeps layers in a dictionary of lists and in a tuple."""

    def __init__(self):
        super().__init__()
        self.blocks = {
            "left": [small_models.Block()],
            "right": [[small_models.Block()]],
        }
        self.last = (small_models.Block(),)

    def build(self, shape):
        for block in (*self.blocks["left"], *self.blocks["right"][0], *self.last):
            block.build(shape)

    def call(self, x):
        for block in (*self.blocks["left"], *self.blocks["right"][0], *self.last):
            x = block(x)
        return x


NESTED = {
    "Sequential": (lambda: keras.Sequential([small_models.Block()]), SHAPE, 1),
    "TimeDistributed": (
        lambda: keras.layers.TimeDistributed(small_models.Block()),
        (2, *SHAPE),
        1,
    ),
    "wrapper": (lambda: Around(Around(small_models.Block())), SHAPE, 1),
    "collections": (Collections, SHAPE, 3),
}


@pytest.mark.parametrize("case", NESTED)
def test_attention_inside_of_layers_is_found_and_trained(case):
    build, shape, number = NESTED[case]
    inputs = keras.Input(shape)
    model = keras.Model(inputs, build()(inputs))
    align_model(model, "mmd")
    assert len(alignment_report(model).aligned) == number
    model(np.random.default_rng(0).normal(size=(3, *shape)), training=True)
    assert len(model.losses) >= number
