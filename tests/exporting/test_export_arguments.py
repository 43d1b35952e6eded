"""Arguments of `export_saved_model` that do not fit."""

import keras
import pytest
from execution import BACKEND
from small_classifiers import two_classes

import keras_align
from keras_align import export_saved_model

pytestmark = pytest.mark.slow_on("jax")

if BACKEND == "torch":
    pytest.skip("SavedModels are of TensorFlow and JAX", allow_module_level=True)


def ends_in(operation, width=2):
    inputs = keras.Input((4, 8))
    x = keras_align.AlignedMultiHeadAttention(2, 4)(inputs, inputs)
    return keras.Model(inputs, operation(keras.layers.Dense(width)(x[:, 0])))


def of_sequences():
    inputs = keras.Input((4, 8))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def of_labels():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "sigmoid")])


def fails(text):
    raise TypeError("no texts")


WRONG = {
    "dtype": (two_classes, {"dtype": "bfloat16"}, "`dtype` must be one of"),
    **{
        f"names {number}": (
            two_classes,
            {"class_names": names},
            "must be a list of 2 dist",
        )
        for number, names in enumerate(
            [
                ["one"],
                ["a", "a"],
                "ab",
                {"a", "b"},
                {"a": 1, "b": 0},
                [1, 2],
                iter("ab"),
            ]
        )
    },
    "activation": (lambda: two_classes("tanh"), {}, "ends in the activation tanh"),
    "softmax": (lambda: ends_in(keras.ops.softmax), {}, "`from_logits` must be a bool"),
    "sigmoid": (lambda: ends_in(keras.ops.sigmoid, 1), {}, "`from_logits` must be"),
    "labels": (of_labels, {}, "3 outputs ends in the activation sigmoid"),
    "logits": (two_classes, {"from_logits": "no"}, "Received: from_logits='no'"),
    "sequences": (of_sequences, {}, "one output .batch, classes"),
    "unbuilt": (
        lambda: keras.Sequential([keras.layers.Dense(1)]),
        {},
        "must be a built functional model",
    ),
    "string": (lambda: "model", {}, "must be a built functional model"),
    "inputs": (
        two_classes,
        {"preprocessor": lambda text: {"other": text}},
        "must return the inputs of the model, \\['vectors'\\]",
    ),
    "texts": (two_classes, {"preprocessor": fails}, "raises TypeError: no texts"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, case):
    make, options, message = case
    with pytest.raises(ValueError, match=message):
        export_saved_model(make(), tmp_path / "new", **options)
    assert not list(tmp_path.iterdir())
