"""Typing errors: where they are, and that they are the same each time."""

import numpy as np
import pytest
import sentences
import typos

TEXT = "The actors are Excellent, but a plot would have helped this film in 1999"


def test_every_long_word_and_no_other_gets_one_error():
    before, after = TEXT.split(), typos.mistype(TEXT, 1.0).split()
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        is_long = sum(letter.isalpha() for letter in old) > 3
        assert (old != new) is is_long, (old, new)
        assert old[0] == new[0] and len(old) - len(new) in (0, 1)
        if is_long and len(new) == len(old):
            changed = [n for n in range(len(old)) if old[n] != new[n]]
            swapped = len(changed) == 2 and sorted(old) == sorted(new)
            assert len(changed) == 1 or swapped


def test_the_text_alone_decides_the_errors():
    np.random.seed(1)
    first = typos.mistype(TEXT, 0.5)
    np.random.seed(2)
    assert typos.mistype(TEXT, 0.5) == first != TEXT
    assert typos.mistype(TEXT, 0.0) == TEXT
    assert typos.mistype("nice film", 1.0) == typos.mistype("nice film", 1.0)


def test_the_share_of_words_is_near_what_was_asked_for():
    words = [f"{a}{b}wonder" for a in "abcdefghij" for b in "klmnopqrst"]
    texts = [" ".join(words[n:] + words[:n]) for n in range(20)]
    changed = [
        old != new
        for text in texts
        for old, new in zip(text.split(), typos.mistype(text).split(), strict=True)
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("seed", range(20))
def test_single_errors(seed):
    import random

    draw = random.Random(seed)
    assert sorted(typos.swap("abcd", draw)) == list("abcd")
    assert typos.swap("abcd", draw) in ("acbd", "abdc")
    assert typos.swap("baaa", draw) == "baa"  # nothing differs: one is left out
    assert typos.leave_out("abcd", draw) in ("acd", "abd", "abc")
    struck = typos.strike_neighbour("aQ", draw)
    assert struck == "aW"
    assert typos.strike_neighbour("aé", draw) == "a"
    assert typos.strike_neighbour("xs", draw) in ("xa", "xd")


def test_the_first_test_set_is_also_tested_with_typos():
    columns = ["nice film"] * 9, ["poor plot"] * 9
    pairs = sentences.Sentences(columns, np.arange(9) % 2)
    task = sentences.Task("t", ["0", "1"], pairs, pairs, {"in": pairs, "out": pairs})
    tests = typos.with_typos(task, 1.0).tests
    assert list(tests) == ["in", "out", "in with typos"]
    assert tests["in"] is pairs and list(task.tests) == ["in", "out"]
    first, second = tests["in with typos"].columns
    assert first[0] != "nice film" and second[0] != "poor plot"
    np.testing.assert_array_equal(tests["in with typos"].labels, pairs.labels)
