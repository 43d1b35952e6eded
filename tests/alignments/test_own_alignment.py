"""Alignments of a user: registered, found by name, saved."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_align
from keras_align.alignments import Alignment, get_alignment, register_alignment


@register_alignment("test_means")
class MeanAlignment(Alignment):
    """Squared distance of the means, in units of a trained scale."""

    def __init__(self, power=2.0, **kwargs):
        super().__init__(**kwargs)
        self.power = power

    def build(self, query_shape, key_shape=None):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, query, key, query_mask=None, key_mask=None):
        gap = ops.mean(query, axis=1) - ops.mean(key, axis=1)
        return self.scale * ops.sum(ops.abs(gap) ** self.power, axis=-1)

    def get_config(self):
        return {**super().get_config(), "power": self.power}


def test_own_alignment_by_name_and_through_a_file(tmp_path):
    assert type(get_alignment("test_means")) is MeanAlignment
    inputs = keras.Input((5, 8))
    layer = keras_align.AlignedMultiHeadAttention(
        2, 4, alignment=MeanAlignment(power=3.0), alignment_weight=0.5
    )
    model = keras.Model(inputs, layer(inputs, inputs))
    layer.alignment.scale.assign(7.0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert type(again.alignment) is MeanAlignment
    assert again.alignment.power == 3.0 and float(again.alignment.scale) == 7.0
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    layer(x, x, training=True), again(x, x, training=True)
    assert float(again.losses[0]) == float(layer.losses[0]) > 0.0


def test_registering_what_is_no_alignment():
    for wrong in (keras.layers.Dense, MeanAlignment(), lambda query, key: 0.0):
        with pytest.raises(ValueError, match="subclass of keras_align"):
            register_alignment("wrong")(wrong)


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match=r"`name`.*'ct' is already"):

        @register_alignment("ct")
        class Other(Alignment):
            """Would hide the paper's method."""

    assert type(get_alignment("ct")) is keras_align.ConditionalTransportAlignment


def test_an_alignment_must_implement_call():
    with pytest.raises(NotImplementedError, match="must implement `call`"):
        Alignment()(np.zeros((2, 3, 1, 4)), np.zeros((2, 3, 1, 4)))


@pytest.mark.parametrize(
    "wrong",
    [lambda q: 0.0, lambda q: ops.sum(q, -1), lambda q: ops.ones((2, 2), "int32")],
)
def test_what_an_alignment_returns_is_checked(wrong):
    class Wrong(Alignment):
        """Returns anything but a divergence for each sample and head."""

        def call(self, query, key, query_mask=None, key_mask=None):
            return wrong(query)

    layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment=Wrong())
    x = np.ones((2, 5, 8), "float32")
    with pytest.raises(ValueError, match=r"Wrong.call must return.*\(B, N\)"):
        layer(x, x, training=True)


def test_a_model_is_not_converted_to_what_could_not_be_loaded():
    class Unregistered(MeanAlignment):
        """Lacks the decorator."""

    inputs = keras.Input((5, 8))
    x = keras.layers.MultiHeadAttention(2, 4)(inputs, inputs)
    with pytest.raises(ValueError, match="Unregistered is not registered.*Decorate"):
        keras_align.align_model(keras.Model(inputs, x), Unregistered())


@pytest.mark.parametrize("name", [None, "", " ", 3, list])
def test_a_name_is_a_string(name):
    with pytest.raises(ValueError, match="`name`"):
        register_alignment(name)
