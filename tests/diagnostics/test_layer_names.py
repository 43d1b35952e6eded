"""Short names of layers tell them apart."""

import hypothesis
import pytest
from hypothesis import strategies as st

from keras_align.diagnostics.layer_names import short_names

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
        (["a", "a/a"], ["a", "a/a"]),
        (["a/x", "a/x_2", "b/x"], ["a/x", "x_2", "b/x"]),
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
