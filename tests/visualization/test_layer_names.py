"""Short names of layers, and which of them are chosen."""

import hypothesis
import pytest
from hypothesis import strategies as st

from keras_align.visualization.layer_names import select_layers, short_names

PATHS = ["bert/layer_0/attention", "bert/layer_1/attention", "bert/pooler/attention"]


@pytest.mark.parametrize(
    "paths, names",
    [
        (PATHS, ["layer_0", "layer_1", "pooler"]),
        (["model/attention"], ["attention"]),
        (["attention", "attention@2"], ["attention", "attention@2"]),
        (["enc/0/a", "dec/0/a", "dec/0/cross"], ["enc/0/a", "dec/0/a", "cross"]),
        (["attention", "enc/attention"], ["attention", "enc/attention"]),
        (["a/0/self/x", "b/0/self/x"], ["a", "b"]),
    ],
)
def test_names(paths, names):
    assert short_names(paths) == dict(zip(paths, names, strict=True))


@hypothesis.given(
    st.lists(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
@hypothesis.settings(deadline=None)
def test_names_differ_and_are_of_their_paths(paths):
    names = short_names(paths)
    assert list(names) == paths and len(set(names.values())) == len(paths)
    for path, name in names.items():
        assert name and f"/{name}/" in f"/{path}/"


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
