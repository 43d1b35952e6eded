"""What each section of a report says, cell by cell."""

import math

import numpy as np
import pytest
from scipy import stats

from keras_align.diagnostics import AlignmentMeasure
from keras_align.reports import answer_sections, figures, heat_map, model_sections
from keras_align.reports.answers import Answers
from keras_align.reports.examining import Examination

TITLES = ["old", "new"]


def examination(measure, answers=None, points=None):
    measured = AlignmentMeasure(measure, dict.fromkeys(measure, 1.0))
    conditions = {"data": {}, "samples": 7, "seed": 0}
    return Examination(
        *("model", None, measured, measured, points or {}),
        *(answers or {}, {}, conditions),
    )


def answers(confidence, labels):
    """Of two classes, from the probabilities of the second."""
    second = np.array(confidence, float)
    return Answers(np.stack([1 - second, second], -1), np.array(labels))


def cells(table):
    """The texts of a table, row by row."""
    rows = table.iter("tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def tables(elements):
    return [cells(each) for part in elements for each in part.iter("table")]


def test_scores_stand_in_their_columns_with_the_sign_of_the_change():
    labels = [1] * 40
    old = answers([0.4] * 30 + [0.9] * 10, labels)  # 25% right
    new = answers([0.6] * 30 + [0.9] * 10, labels)  # 100% right
    pair = examination({"a": np.ones(1)}, {"d": old}), examination({}, {"d": new})
    (rows,) = tables(answer_sections.comparison(TITLES, pair, 0))
    assert rows[0][:3] == ["score", *TITLES]
    assert rows[1][:3] == ["accuracy, %", "25.0", "100.0"]
    assert rows[1][3].startswith("+75.0 [+6") and rows[1][3].endswith(" better")
    assert rows[2][:4] == ["ECE, %", "47.5", "32.5", "-15.0"]
    assert rows[3][3].startswith("-0.304 [") and rows[3][3].endswith(" better")
    back = tables(answer_sections.comparison(TITLES, pair[::-1], 0))[0]
    assert back[1][3].startswith("-75.0 [-8") and back[1][3].endswith(" worse")
    assert back[3][3].endswith(" worse")


def test_one_or_a_few_samples_tell_nothing():
    for count in (1, 3):
        old, new = answers([0.1] * count, [1] * count), answers([0.9], [1])
        new = Answers(np.repeat(new.probabilities, count, 0), old.labels)
        pair = examination({}, {"d": old}), examination({}, {"d": new})
        (rows,) = tables(answer_sections.comparison(TITLES, pair, 0))
        assert not any(row[3].endswith(("better", "worse")) for row in rows)


def test_an_interval_that_is_shown_to_touch_0_tells_nothing():
    many = answers([0.9] * 50, [1] * 50)
    for interval in ((0.0, 0.002), (-0.001, 0.0)):
        assert answer_sections.judge("nll", interval, False, many, many) == ""
    assert answer_sections.judge("nll", (0.001, 0.002), False, many, many) == "worse"
    assert answer_sections.judge("brier", (-0.2, -0.1), False, many, many) == "better"


@pytest.mark.parametrize("gained, lost", [(0, 0), (1, 0), (3, 0), (6, 0), (9, 21)])
def test_mcnemar_is_the_binomial_test(gained, lost):
    expected = 1.0
    if gained + lost:
        expected = stats.binomtest(gained, gained + lost).pvalue
    assert answer_sections.mcnemar(gained, lost) == pytest.approx(expected)


def test_equally_good_models_are_seldom_judged():
    random, judged = np.random.default_rng(0), {"accuracy": 0, "nll": 0}
    for _ in range(200):
        labels = random.integers(0, 2, 200)
        shift = random.normal(0, 0.6, (2, 200))
        both = [
            answers(1 / (1 + np.exp(-(2 * labels - 1) - each)), labels)
            for each in shift
        ]
        limits = answer_sections.paired_intervals(*both, seed=1)
        for score in judged:
            verdict = answer_sections.judge(score, limits[score], True, *both)
            judged[score] += bool(verdict)
    assert max(judged.values()) <= 20  # 10 of 200 are expected


def test_changed_answers_are_counted_from_wrong_to_right():
    old = answers([0.2, 0.2, 0.8, 0.9], [1, 1, 1, 1])
    new = answers([0.7, 0.6, 0.4, 0.9], [1, 1, 1, 1])
    pair = examination({}, {"d": old}), examination({}, {"d": new})
    shown = {"d": ["a", "b", "c", "e"]}
    first, items = answer_sections.changes(TITLES, pair, shown, ["no", "yes"], 2)
    assert "3 of 4 answers changed, 2 from wrong to right, 1 from right" in first.text
    texts = ["".join(item.itertext()) for item in items]
    assert texts[0] == "atrue: yes. old: no (80%), wrong. new: yes (70%), right. "
    assert len(texts) == 2


def test_the_typical_head_has_the_median():
    measure = {"a": np.array([5.0, 1.0]), "b": np.array([3.0, 2.0, 9.0])}
    assert model_sections.typical_head(examination(measure)) == (1, 0)


def test_both_clouds_are_of_the_same_place():
    draw = np.random.default_rng(0)

    def model(*paths):
        points = {path: [draw.normal(size=(5, 2, 3))] * 2 for path in paths}
        return examination({path: np.array([1.0, 2.0]) for path in paths}, None, points)

    pair = model("attention", "attention_1"), model("attention_2", "attention_3")
    _, drawn = model_sections.clouds(TITLES, pair)
    names = [each.text for each in drawn.iter("figcaption")]
    assert names == [
        "old: head 1 of layer attention",
        "new: head 1 of layer attention_2",
    ]


def test_the_plane_holds_the_largest_deviations():
    random = np.random.default_rng(0)
    deviations = np.array([0.1, 5.0, 0.2, 3.0])
    points = random.normal(size=(400, 4)) * deviations
    query, key = figures.plane(points[:200], points[200:] + [0, 20.0, 0, 0])
    assert abs(key.mean(0)[0] - query.mean(0)[0]) == pytest.approx(20, rel=0.05)
    both = np.concatenate([query, key])
    assert both[:, 1].std() == pytest.approx(3.0, rel=0.15)


def test_bars_are_as_high_as_accuracy_and_outlines_as_confidence():
    found = answers([0.85] * 4, [1, 1, 1, 0])
    figure = figures.reliability("d", found, 0.1)
    heights = {
        bar.get("class"): float(bar.get("height")) / figures.SIZE
        for bar in figure.iter("rect")
    }
    assert heights["accuracy"] == pytest.approx(0.75, abs=1e-3)
    assert heights["confidence"] == pytest.approx(0.85, abs=1e-3)
    pair = examination({}, {"d": found}), examination({}, {"d": found})
    table = tables(answer_sections.diagrams(TITLES, pair))[0]
    assert table[1] == ["0.8 to 0.9", "4", "75.0", "85.0"]


def test_colours_are_logarithms():
    measure = AlignmentMeasure({"m/a": np.array([10.0, 0.1, 0.001, -1.0])}, {})
    made = heat_map.heat_map("old", measure, largest=10.0)
    styles = [cell.get("style") for cell in made.iter("td")]
    shares = [int(style.removeprefix("--share: ")[:-1]) for style in styles]
    expected = [max(0, 100 * (3 + math.log10(x / 10)) / 3) for x in (10, 0.1, 0.001)]
    assert shares == pytest.approx([*expected, 0], abs=0.5)
    assert cells(made)[1] == ["a", "10.0", "0.10", "0.001", "-1.00"]


def test_the_summary_says_which_is_less():
    pair = [examination({"a": np.array([x])}) for x in (6.0, 2.0)]
    (first,) = model_sections.summary(TITLES, pair)
    assert first.text.endswith("6.00 (old) and 2.00 (new), 3.0 times less.")
    (first,) = model_sections.summary(TITLES, pair[::-1])
    assert first.text.endswith("2.00 (old) and 6.00 (new), 3.0 times as much.")


def test_settings_keep_their_names():
    pair = examination({}), examination({})
    settings, versions = tables(model_sections.facts(TITLES, pair, {"backend": "mine"}))
    assert settings[1:] == [["backend", "mine"]]
    assert "backend" in [row[0] for row in versions]
