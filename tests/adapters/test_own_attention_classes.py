"""Attention classes of users, and layers around them, with behaviour of their own."""

import keras
import numpy as np
import pytest
from attention_classes import Usual

from keras_align import alignment_report, measure_alignment
from keras_align.adapters import register_attention
from keras_align.adapters.capturing import captured_arguments
from keras_align.conversion import align_model, strip_alignment

pytestmark = pytest.mark.slow_on("jax")

SHAPE = (5, 16)


def functional(*layers):
    x = inputs = keras.Input(SHAPE)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


@register_attention
@keras.saving.register_keras_serializable(package="test_own_attention_classes")
class WithTable(Usual):
    """Saves more than its variables."""

    table = None

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["table"] = np.asarray(self.table)

    def load_own_variables(self, store):
        self.table = np.asarray(store["table"])


def test_what_a_class_saves_of_its_own_is_saved(tmp_path):
    model = functional(WithTable())
    model.layers[1].table = np.arange(3.0)
    align_model(model, "ct", keras.Variable(0.5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[1].table, np.arange(3.0))
    assert alignment_report(loaded).aligned[0].alignment_weight == 0.5


def test_attributes_with_the_names_of_an_alignments_are_not_overwritten():
    layer = Usual()
    model = functional(Usual(), layer)
    layer.alignment = "left"
    with pytest.raises(ValueError, match=r"Received: \['alignment'\]"):
        align_model(model)
    assert layer.alignment == "left"
    assert not alignment_report(model).aligned
    strip_alignment(align_model(model, layers=0))


@keras.saving.register_keras_serializable(package="test_own_attention_classes")
class WithOwnMethod(Usual):
    """Has a method of a name that an aligned layer uses."""

    def _share(self, x, scale):
        return scale * x

    def call(self, x):
        return self._share(super().call(x), 2.0)


def test_methods_with_the_names_of_an_alignments_are_not_hidden():
    register_attention(WithOwnMethod)
    model = functional(WithOwnMethod())
    with pytest.raises(ValueError, match=r"Received: \['_share'\]"):
        align_model(model)
    assert not alignment_report(model).aligned


def test_one_projection_for_queries_and_keys_is_refused():
    layer = Usual()
    model = functional(layer)
    layer.key = layer.query
    with pytest.raises(ValueError, match="one projection for queries and keys"):
        align_model(model)


@register_attention
@keras.saving.register_keras_serializable(package="test_own_attention_classes")
class OfList(Usual):
    """Takes queries and keys as one list, as `keras.layers.Attention` does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, shapes):
        super().build(shapes[0])

    def call(self, inputs, mask=None):
        query, source = inputs
        query, key = self.query(query), self.key(source)
        scores = keras.ops.einsum("bte,bse->bts", query, key)
        if mask is not None and mask[1] is not None:
            scores = scores + keras.ops.where(mask[1][:, None], 0.0, -1e9)
        return keras.ops.softmax(scores) @ source


@pytest.mark.parametrize("lengths", [(4, 2), (5, 5)])
def test_inputs_in_one_list(lengths):
    """Padding of either takes no part, and they are not taken for one sequence."""
    layer = OfList()
    queries, keys = np.random.default_rng(0).normal(size=(2, 2, *SHAPE)).astype("f4")
    layer([queries, keys])
    model_of = keras.Input(SHAPE), keras.Input(SHAPE)
    model = keras.Model(model_of, layer(list(model_of)))
    align_model(model, "mmd")
    layer([queries, keys], training=True)
    without_masks = float(layer.losses[0])
    real = [np.arange(5) < np.full((2, 1), length) for length in lengths]
    layer([queries, keys], mask=real, training=True)
    masked = float(layer.losses[0])
    layer([queries[:, : lengths[0]], keys[:, : lengths[1]]], training=True)
    assert masked == pytest.approx(float(layer.losses[0]), rel=1e-4)
    assert (masked == pytest.approx(without_masks, rel=1e-6)) == (lengths == (5, 5))


def test_equal_names_give_different_paths():
    class Stack(keras.Model):
        def __init__(self):
            super().__init__()
            names = "a", "a", "a_2", "a"
            self.stack = [keras.layers.MultiHeadAttention(2, 4, name=n) for n in names]

        def call(self, x, training=None):
            for layer in self.stack:
                x = layer(x, x)
            return x

    model, x = Stack(), np.ones((2, *SHAPE), "float32")
    model(x)
    paths = [row.path for row in alignment_report(model).rows]
    assert paths == ["a", "a_2", "a_2_2", "a_3"]
    assert list(measure_alignment(model, x).per_layer) == paths
    align_model(model, dict.fromkeys(range(4), "mmd"))
    assert [row.path for row in alignment_report(model).aligned] == paths


@keras.saving.register_keras_serializable(package="test_own_attention_classes")
class Twice(keras.layers.Layer):
    """A config that describes one attention layer twice and another not at all."""

    def __init__(self, first=None, again=None, **kwargs):
        super().__init__(**kwargs)
        attention = keras.layers.MultiHeadAttention
        self.first = first or attention(2, 4, name="first")
        self.second = attention(2, 4, name="second")

    def build(self, shape):
        if not self.first.built:
            self.first.build(shape, shape)
        self.second.build(shape, shape)

    def call(self, x):
        x = self.first(x, x)
        return self.second(x, x)

    def get_config(self):
        first = keras.saving.serialize_keras_object(self.first)
        return {**super().get_config(), "first": first, "again": first}

    @classmethod
    def from_config(cls, config):
        first = keras.saving.deserialize_keras_object(config["first"])
        return cls(**{**config, "first": first})


def test_a_layer_that_a_config_holds_twice_counts_once(tmp_path):
    model = align_model(functional(Twice()), "mmd")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(alignment_report(loaded).aligned) == 2


@keras.saving.register_keras_serializable(package="test_own_attention_classes")
class OtherNames(keras.layers.Layer):
    """Hands queries and keys on under names of its own."""

    def _compute_attention(self, q, k, scale):
        return scale * (q + k)


@pytest.mark.parametrize(
    "arguments",
    [((1, 2, 3), {}), ((1,), {"k": 2, "scale": 3}), ((), {"k": 2, "q": 1, "scale": 3})],
)
def test_the_first_two_parameters_are_captured(arguments):
    layer = OtherNames()
    given, named = arguments
    given = [np.float32(x) for x in given]
    named = {name: np.float32(x) for name, x in named.items()}
    with captured_arguments(layer) as pairs:
        assert layer._compute_attention(*given, **named) == 9
    assert [tuple(map(float, pair)) for pair in pairs] == [(1, 2)]
    assert "_compute_attention" not in vars(layer)


def test_captures_of_two_threads_do_not_meet():
    """In the order in which replicas take turns: in, in, out, out."""
    import threading

    layer, turns, found = OtherNames(), threading.Barrier(2), {}

    def work(value):
        turns.wait()
        with captured_arguments(layer) as pairs:
            turns.wait()
            layer._compute_attention(np.float32(value), np.float32(value), 1)
            turns.wait()
        turns.wait()
        found[value] = [tuple(map(float, pair)) for pair in pairs]

    threads = [threading.Thread(target=work, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: [(1, 1)], 2: [(2, 2)]}
    assert "_compute_attention" not in vars(layer)
