"""Constructors and calls have the arguments of Keras's layers, and ours after them."""

import inspect

import contracts
import keras
import numpy as np
import pytest

from keras_align import strip_alignment

pytestmark = pytest.mark.slow_on("jax")

OURS = {"alignment": "ct", "alignment_weight": None}
every_layer = pytest.mark.parametrize(
    "subject", contracts.SUBJECTS.values(), ids=contracts.SUBJECTS
)


def arguments(function, without=()):
    """Names, kinds and defaults of the arguments of a function, in their order."""
    parameters = inspect.signature(function).parameters.values()
    kept = [each for each in parameters if each.name not in without]
    return [(each.name, each.kind, each.default) for each in kept]


@every_layer
def test_the_constructor_names_every_argument_of_keras(subject):
    assert arguments(subject.aligned, OURS) == arguments(subject.plain)
    parameters = inspect.signature(subject.aligned).parameters
    for name, default in OURS.items():
        assert parameters[name].default == default
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


@every_layer
def test_every_argument_reaches_keras(subject):
    """Values other than the defaults, by position, come back in the config."""
    values = {
        "value_dim": 3,
        "dropout": 0.5,
        "use_bias": False,
        "output_shape": (6,),
        "attention_axes": (1,),
        "sliding_window": 2,
        "flash_attention": False,
        "kernel_initializer": "ones",
        "bias_initializer": "ones",
        "kernel_regularizer": "l1",
        "bias_regularizer": "l2",
        "activity_regularizer": keras.regularizers.L1L2(0.1, 0.2),
        "kernel_constraint": "non_neg",
        "bias_constraint": "unit_norm",
        "use_gate": True,
        "seed": 7,
        **subject.arguments,
    }
    names = [name for name, _, _ in arguments(subject.plain) if name != "kwargs"]
    given = [values[name] for name in names]
    aligned = subject.aligned(*given, name="layer", dtype="float16")
    plain = subject.plain(*given, name="layer", dtype="float16")
    config = {k: v for k, v in aligned.get_config().items() if k not in OURS}
    assert config == plain.get_config()
    defaults = subject.make_plain().get_config()
    for name in names:
        if name not in subject.arguments and name in config:
            assert config[name] != defaults[name]


@every_layer
@pytest.mark.parametrize("method", ["call", "build", "compute_output_shape"])
def test_methods_have_the_arguments_of_keras(subject, method):
    found, expected = (getattr(c, method) for c in (subject.aligned, subject.plain))
    assert arguments(found) == arguments(expected)


def test_the_native_causal_route_stays():
    """Keras takes it only where no class overrides `_compute_attention`."""
    for subject in contracts.SUBJECTS.values():
        theirs = subject.plain._compute_attention
        assert subject.aligned._compute_attention is theirs


@every_layer
def test_a_subclass_of_a_user_keeps_its_class(subject):
    """`strip_alignment` does not take it for the class that it extends."""

    class Own(subject.aligned):
        def call(self, x, training=None):
            return super().call(x, x, training=training)

        def build(self, shape):
            super().build(shape, shape)

        def compute_output_spec(self, x, training=None):
            return super().compute_output_spec(x, x, training=training)

    inputs = keras.Input((5, 8))
    layer = Own(**subject.arguments, alignment="mmd")
    model = keras.Model(inputs, layer(inputs))
    x = contracts.tokens()
    model(x, training=True)
    expected = subject.make("mmd")
    expected(x, x)
    expected.set_weights(layer.get_weights())
    expected(x, x, training=True)
    values = [keras.ops.convert_to_numpy(each.losses[0]) for each in (layer, expected)]
    np.testing.assert_allclose(*values, rtol=1e-6)
    with pytest.raises(ValueError, match="subclass"):
        strip_alignment(model)
    assert type(layer) is Own
