"""Intervals against values by hand, and what is said of them."""

import comparing
import numpy as np
import pytest

# Mean 2, standard deviation 1; t of 97.5% is 4.3027 with two degrees of freedom.
DIFFERENCES = np.array([1.0, 2.0, 3.0])


def test_t_interval():
    half = 4.302653 / 3**0.5
    assert comparing.t_interval(DIFFERENCES) == pytest.approx((2 - half, 2 + half))
    assert np.isnan(comparing.t_interval([1.0])).all()


def test_seeds_to_decide():
    """Half widths of the interval by hand: t / sqrt(n) at a deviation of 1."""
    # 2.4842, 1.5912, 1.2417, 1.0494, 0.9248 for n = 3 to 7
    shifted = DIFFERENCES - 1.0  # mean 1
    assert comparing.seeds_to_decide(shifted) == 7
    assert comparing.seeds_to_decide(DIFFERENCES) == 4
    assert comparing.seeds_to_decide(DIFFERENCES - 2.0) is None
    assert comparing.seeds_to_decide(DIFFERENCES - 1.9) is None  # 387
    assert comparing.seeds_to_decide([1.0]) is None


@pytest.mark.parametrize(
    "differences, larger_is_better, words",
    [
        (DIFFERENCES + 8.0, True, "better"),
        (DIFFERENCES + 8.0, False, "worse"),
        (-DIFFERENCES - 8.0, False, "better"),
        (-DIFFERENCES - 8.0, True, "worse"),
        (DIFFERENCES - 1.0, True, "undecided"),
        (DIFFERENCES - 2.0, True, "undecided"),
        (np.zeros(3), True, "the same"),
        (np.array([4.0]), True, "undecided"),
    ],
)
def test_verdict(differences, larger_is_better, words):
    interval = comparing.t_interval(differences)
    assert comparing.verdict(differences, interval, larger_is_better) == words


@pytest.mark.parametrize(
    "differences, words",
    [
        (DIFFERENCES - 1.0, "7"),
        (DIFFERENCES - 2.0, "more than 100"),
        (np.array([4.0]), "one seed shows no spread"),
    ],
)
def test_seeds_in_words(differences, words):
    assert comparing.seeds_in_words(differences) == words


def test_runs_that_diverged_are_left_out_and_counted():
    rows = {
        "soft": [{"nll": "1.0"}, {"nll": "2.0"}, {"nll": "4.0"}],
        "ct": [{"nll": "2.0"}, {"nll": "nan"}, {"nll": "5.0"}],
        "gan": [{"nll": "nan"}] * 3,
    }
    table = comparing.table(rows, [("nll", "NLL", 1.0, 1)])
    cells = table.splitlines()[-1]
    for cell in ("2.3 ± 1.5", "3.5 ± 2.1 (2 of 3)", "+1.0 [+1.0, +1.0] (2 of 3)"):
        assert cell in cells
    assert cells.count("none (0 of 3)") == 2
