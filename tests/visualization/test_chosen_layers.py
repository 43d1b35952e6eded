"""Which layers are drawn."""

import pytest

from keras_align.visualization.chosen_layers import select_layers

PATHS = ["bert/layer_0/attention", "bert/layer_1/attention", "bert/pooler/attention"]


@pytest.mark.parametrize(
    "layers, chosen",
    [
        (None, PATHS),
        ([2, 0], [PATHS[2], PATHS[0]]),
        (["layer_1"], [PATHS[1]]),
        ("layer_1", [PATHS[1]]),
        ([PATHS[2], 1], [PATHS[2], PATHS[1]]),
    ],
)
def test_choosing(layers, chosen):
    assert select_layers(layers, PATHS) == chosen


@pytest.mark.parametrize(
    "layers", [[], [3], [-1], ["layer"], ["bert"], [1, "layer_1"], [True], [1.0]]
)
def test_refused(layers):
    with pytest.raises(ValueError, match="`layers` must hold"):
        select_layers(layers, PATHS)
