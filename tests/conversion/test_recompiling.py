"""Compiled models are compiled again by a conversion, with the same settings."""

import keras
import pytest
import small_models
from model_state import aligned_paths, state

from keras_align.conversion import align_model, strip_alignment

pytestmark = pytest.mark.slow_on("jax")


class Awkward(keras.optimizers.SGD):
    """An optimizer that cannot be rebuilt, as one with a lambda for its rate."""

    def get_config(self):
        raise TypeError("cannot serialise")


def compiled_twice():
    """A trained model inside a trained one, whose optimizer cannot be rebuilt."""
    inner = small_models.compile_model(small_models.functional(), "functional")
    small_models.train(inner, "functional")
    outer = keras.Sequential([inner])
    outer.compile(Awkward(), "mse")
    x = small_models.vectors()
    outer.fit(x, outer.predict(x, verbose=0), verbose=0)
    return outer, inner


def test_an_optimizer_that_cannot_be_rebuilt_is_found_before_anything_changes():
    outer, inner = compiled_twice()
    before, optimizers = state(inner), (outer.optimizer, inner.optimizer)
    steps = int(inner.optimizer.iterations)
    assert steps > 0
    with pytest.raises(ValueError, match="cannot be rebuilt.*cannot serialise"):
        align_model(outer)
    assert state(inner) == before
    assert (outer.optimizer, inner.optimizer) == optimizers
    assert int(inner.optimizer.iterations) == steps


def test_a_compiled_model_keeps_its_settings():
    model = small_models.transformer()
    optimizer = keras.optimizers.AdamW(0.02, weight_decay=0.3, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    small_models.train(model, "transformer")
    align_model(model)
    config = optimizer.get_config()
    assert model.optimizer is not optimizer
    assert model.optimizer.get_config() == config
    decays = {w.name: model.optimizer._use_weight_decay(w) for w in model.weights}
    assert not decays["bias"] and decays["kernel"]
    assert (model.loss, model.run_eagerly) == ("mse", True)
    assert model.optimizer.iterations == 0
    small_models.train(model, "transformer")
    logged = {"mae", "alignment_loss"}
    assert logged <= set(model.history.history)


def test_an_optimizer_that_was_not_used_stays():
    model = small_models.compile_model(small_models.functional(), "functional")
    optimizer = model.optimizer
    assert align_model(model).optimizer is optimizer
    assert strip_alignment(model).optimizer is optimizer


def test_a_compiled_model_inside_is_compiled_again():
    inner = small_models.compile_model(small_models.functional(), "functional")
    small_models.train(inner, "functional")
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH))
    align_model(keras.Model(inputs, inner(inputs)), alignment_weight=1.0)
    assert inner.train_function is None
    small_models.train(inner, "functional")
    assert "alignment_loss" in inner.history.history


def test_a_compile_that_cannot_be_repeated_is_an_error():
    class Own(keras.Model):
        def compile(self, step_size):
            super().compile(keras.optimizers.SGD(step_size), "mse")

    inputs = keras.Input((None, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    model = Own(inputs, x)
    model.compile(0.1)
    with pytest.raises(ValueError, match="compile` of its own"):
        align_model(model)
    assert aligned_paths(model) == []


def test_a_compile_with_more_arguments_than_keras_keeps_is_an_error():
    class Distiller(keras.Model):
        def compile(self, temperature=1.0, **kwargs):
            super().compile(**kwargs)
            self.temperature = temperature

    inputs = keras.Input((None, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(inputs, inputs)
    model = Distiller(inputs, x)
    model.compile(temperature=7.0, optimizer="sgd", loss="mse")
    with pytest.raises(ValueError, match=r"keep: \['temperature'\]"):
        align_model(model)
    assert aligned_paths(model) == [] and model.temperature == 7.0
