"""What a report takes as data."""

import numpy as np
import pytest

from keras_align.reports import data_sets

INPUTS = np.zeros((3, 4))


def test_one_data_set_and_several():
    (one,) = data_sets.read((INPUTS, [0, 1, 2]))
    assert (one.title, one.labels.tolist(), one.shown) == ("data", [0, 1, 2], None)
    several = data_sets.read({"a": (INPUTS, np.eye(3)), "b": (INPUTS, None, "xyz")})
    assert [each.title for each in several] == ["a", "b"]
    assert several[0].labels.tolist() == [0, 1, 2]
    assert several[1].labels is None
    assert several[1].shown == ["x", "y", "z"]


def test_texts_are_shown_by_themselves():
    (one,) = data_sets.read((["a b", "c"], None))
    assert one.shown == ["a b", "c"]
    assert one.some(2, seed=0).tolist() == ["a b", "c"]
    (pairs,) = data_sets.read(((["a", "b"], ["c", "d"]), None))
    assert pairs.shown == ["a | c", "b | d"]
    assert [each.tolist() for each in pairs.some(9, seed=0)] == [["a", "b"], ["c", "d"]]
    (more,) = data_sets.read((("a", "b", "c"), [0, 1, 0]))
    assert more.shown == ["a", "b", "c"]
    (long,) = data_sets.read((["word " * 1000], None))
    assert long.shown == [("word " * 1000)[: data_sets.LONGEST] + " ..."]
    (raw,) = data_sets.read((np.array([b"caf\xc3\xa9"]), None))
    assert raw.shown == ["caf\u00e9"]


@pytest.mark.parametrize(
    "data, message",
    [
        (INPUTS, "tuple"),
        ({"ids": INPUTS}, r"'ids': ndarray"),
        ({}, "must hold samples"),
        ((INPUTS,), "tuple"),
        ((INPUTS[:0], None), "at least one"),
        (((INPUTS, INPUTS[:2]), None), r"\[2, 3\]"),
        ((INPUTS, [0, 1]), r"3 labels of 'data'.*of the shape \(2,\)"),
        ((INPUTS, {"a": [0, 1, 2]}), "3 labels"),
        (("one text", None), "samples along the first axis"),
        ((INPUTS, [0, 1, 2], ["a"]), "1 texts"),
        ((INPUTS, [0, 1, -1]), "from 0 on"),
        ((INPUTS, [0.5, 1, 1]), "as integers"),
        ((INPUTS, ["a", "b", "c"]), "as integers"),
        ((INPUTS, None, ["a"]), "1 texts"),
        ((INPUTS, np.zeros((3, 2))), "or one-hot"),
        ((INPUTS, np.ones((3, 2))), "or one-hot"),
        ((INPUTS, [[0.5, 0.5], [1, 0], [0, 1]]), "or one-hot"),
        ((INPUTS, [[np.nan, 1], [0, 1], [0, 1]]), "or one-hot"),
    ],
)
def test_other_data_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        data_sets.read(data)


def test_samples_are_drawn_at_random_and_rows_stay_together():
    rows = np.arange(100)
    (one,) = data_sets.read(({"a": rows, "b": 2 * rows}, None))
    drawn = one.some(10, seed=1)
    assert len(set(drawn["a"])) == 10 and drawn["a"].max() > 20
    np.testing.assert_array_equal(drawn["b"], 2 * drawn["a"])
    assert drawn["a"].tolist() != one.some(10, seed=2)["a"].tolist()


@pytest.mark.parametrize(
    "other",
    [
        (INPUTS + 1, [0, 1, 2]),
        (INPUTS, [0, 1, 1]),
        (INPUTS.reshape(3, 2, 2), [0, 1, 2]),
        (["a", "b", "c"], [0, 1, 2]),
    ],
)
def test_digests_tell_data_apart(other):
    (one,), (same,) = data_sets.read((INPUTS, [0, 1, 2])), data_sets.read(other)
    assert one.digest != same.digest
    assert one.digest == data_sets.read((INPUTS.copy(), [0, 1, 2]))[0].digest
