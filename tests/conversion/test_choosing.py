"""Which layers `align_model` converts, and with what; wrong arguments."""

import keras
import numpy as np
import pytest
import small_models
from model_state import aligned_paths, state

from keras_align.conversion import align_model, strip_alignment
from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")

CHOICES = {
    "name": ("self_attention_layer", [0, 1, 2]),
    "name of the layer around": ("transformer_layer_1", [1]),
    "path": ("transformer_layer_2/self_attention_layer", [2]),
    "index": (1, [1]),
    "NumPy index": (np.int64(0), [0]),
    "negative index": (-1, [2]),
    "predicate": (lambda layer: "_1/" in layer.path, [1]),
    "list": ([-1, "transformer_layer_0"], [0, 2]),
    "tuple": ((0, 0), [0]),
    "range": (range(1, 3), [1, 2]),
    "array": (np.array([0, 2]), [0, 2]),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_layers_are_chosen(choice):
    layers, expected = CHOICES[choice]
    model = small_models.backbone(layers=3)
    every = [row.path for row in alignment_report(model).rows]
    align_model(model, layers=layers)
    assert aligned_paths(model) == [every[index] for index in expected]
    strip_alignment(model)
    assert aligned_paths(model) == []


def test_a_layer_chooses_itself():
    model = small_models.functional()
    align_model(model, layers=model.get_layer("cross"))
    assert aligned_paths(model) == ["cross"]


def test_layers_may_have_different_alignments():
    model = align_model(small_models.functional(), "mmd", 0.5, layers="self")
    align_model(model, "gan", 0.25, layers="cross")
    rows = alignment_report(model).rows
    kinds = [type(model.get_layer(row.path).alignment).__name__ for row in rows]
    assert kinds == ["MaximumMeanDiscrepancyAlignment", "AdversarialAlignment"]
    assert [row.alignment_weight for row in rows] == [0.5, 0.25]


WRONG = {
    "alignment": ({"alignment": "sinkhorn"}, "`alignment` must be one of"),
    "no alignment": ({"alignment": None}, "alignment=None"),
    "weight": ({"alignment_weight": -1.0}, "alignment_weight=-1.0"),
    "index": ({"layers": 2}, "from -2 to 1. Received: 2"),
    "negative index": ({"layers": -3}, "from -2 to 1. Received: -3"),
    "name": ({"layers": "layer"}, "'layer' matches none of"),
    "one of two names": ({"layers": [0, "layer"]}, "'layer' matches none of"),
    "predicate": ({"layers": lambda layer: False}, "matches none of"),
    "nothing": ({"layers": []}, "at least one layer"),
    "type": ({"layers": 1.5}, "`layers` must be None"),
    "boolean": ({"layers": True}, "`layers` must be None"),
    "other layer": ({"layers": keras.layers.Dense(1)}, "matches none of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named_and_changes_nothing(case):
    options, message = WRONG[case]
    model = small_models.pieces()
    before = state(model)
    with pytest.raises(ValueError, match=message):
        align_model(model, **options)
    assert state(model) == before


def test_aligning_twice_names_the_remedy():
    model = align_model(small_models.functional())
    before = state(model)
    with pytest.raises(ValueError, match="strip_alignment"):
        align_model(model, "mmd", layers="self")
    assert state(model) == before
