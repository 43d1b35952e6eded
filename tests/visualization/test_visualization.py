"""Properties of the pictures: panels, bars, labels, determinism, errors."""

import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from matplotlib.figure import Figure  # noqa: E402

from keras_align import visualization  # noqa: E402
from keras_align.diagnostics import AlignmentMeasure, AttentionRecord  # noqa: E402

pytestmark = pytest.mark.slow_on("jax", "torch")

WORDS = ["[CLS]", "a", "fine", "film", "[SEP]"]
MEASURE = AlignmentMeasure({"attention": np.array([0.5, 0.1])}, {"attention": 1.0})
RECORD = AttentionRecord(
    *np.zeros((2, 1, 5, 2, 4)), *np.ones((2, 1, 5), bool), np.full((1, 2, 5, 5), 0.2)
)


def random_points(*titles, tokens=30):
    rng = np.random.default_rng(0)
    return {title: tuple(rng.normal(size=(2, tokens, 8))) for title in titles}


def points(axes):
    return [collection.get_offsets().data for collection in axes.collections]


def test_query_key_has_a_panel_for_every_entry():
    figure = visualization.plot_query_key(random_points("soft", "ct", "gan"))
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes] == ["soft", "ct", "gan"]
    for axes in figure.axes:
        queries, keys = points(axes)
        assert queries.shape == keys.shape == (30, 2)
        assert np.isfinite(queries).all() and np.isfinite(keys).all()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["queries", "keys"]


def test_query_key_separates_what_is_apart():
    rng = np.random.default_rng(2)
    queries, keys = rng.normal(size=(2, 60, 8))
    figure = visualization.plot_query_key(
        {"apart": (queries + 8, keys), "equal": (queries, keys)}
    )

    def neighbours_of_the_same_kind(axes):
        both = np.concatenate(points(axes))
        kind = np.repeat([0, 1], 60)
        distance = np.linalg.norm(both[:, None] - both[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        return np.mean(kind[distance.argmin(-1)] == kind)

    apart, equal = map(neighbours_of_the_same_kind, figure.axes)
    assert apart > 0.95
    assert equal < 0.7


def test_query_key_is_determined_by_its_seed():
    samples = random_points("soft", tokens=50)

    def draw(seed):
        figure = visualization.plot_query_key(samples, max_tokens=20, seed=seed)
        return np.concatenate(points(figure.axes[0]))

    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))
    assert draw(3).shape == (40, 2)


@pytest.mark.parametrize("tokens, width", [(2, 8), (5, 1)])
def test_query_key_of_few_points(tokens, width):
    samples = tuple(np.random.default_rng(0).normal(size=(2, tokens, width)))
    figure = visualization.plot_query_key({"tiny": samples})
    assert all(np.isfinite(part).all() for part in points(figure.axes[0]))


def test_query_key_of_equal_points():
    figure = visualization.plot_query_key({"equal": (np.ones((9, 4)), np.ones((9, 4)))})
    assert all(np.isfinite(part).all() for part in points(figure.axes[0]))


@pytest.mark.parametrize(
    "samples, message",
    [
        ({}, "at least one entry"),
        ([1, 2], "must be a dictionary"),
        ({"a": np.ones((3, 4))}, "must hold pairs"),
        ({"a": (np.ones((3, 4)), np.ones((3, 5)))}, r"shapes \(3, 4\) and \(3, 5\)"),
        ({"a": (np.ones((2, 3, 4)), np.ones((3, 4)))}, "shape"),
        ({"a": (np.ones((1, 4)), np.ones((3, 4)))}, "at least two queries"),
        ({"a": (np.full((3, 4), np.nan), np.ones((3, 4)))}, "finite"),
    ],
)
def test_query_key_refuses(samples, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_query_key(samples)


@pytest.mark.parametrize(
    "option",
    [
        {"max_tokens": 1},
        {"perplexity": 0},
        {"perplexity": "a"},
        {"seed": 1.5},
        {"seed": -1},
    ],
)
def test_query_key_refuses_options(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}` must be"):
        visualization.plot_query_key(random_points("a"), **option)


def test_no_global_state_is_touched(tmp_path):
    before = dict(matplotlib.rcParams)
    pyplot = sys.modules.pop("matplotlib.pyplot", None)
    figures = [
        visualization.plot_query_key(random_points("soft")),
        visualization.plot_attention({"soft": np.eye(5)}, WORDS),
        visualization.plot_reliability({"soft": ([0, 1], np.eye(2))}),
        visualization.plot_alignment(MEASURE),
        visualization.plot_history({"loss": [1, 2], "val_loss": [1, 2]}),
        visualization.plot_head_grid({"attention": RECORD}, WORDS),
    ]
    assert "matplotlib.pyplot" not in sys.modules
    if pyplot is not None:
        sys.modules["matplotlib.pyplot"] = pyplot
    assert dict(matplotlib.rcParams) == before
    for number, figure in enumerate(figures):
        file = tmp_path / f"{number}.png"
        figure.savefig(file)
        assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "missing, draw",
    [
        ("sklearn", lambda: visualization.plot_query_key(random_points("soft"))),
        (
            "matplotlib",
            lambda: visualization.plot_attention({"soft": np.eye(5)}, WORDS),
        ),
        (
            "matplotlib",
            lambda: visualization.plot_reliability({"a": ([0, 1], np.eye(2))}),
        ),
        ("matplotlib", lambda: visualization.plot_alignment(MEASURE)),
        ("matplotlib", lambda: visualization.plot_history({"loss": [1, 2]})),
        ("matplotlib", lambda: visualization.plot_head_grid({"a": RECORD})),
    ],
)
def test_missing_packages_are_named(monkeypatch, missing, draw):
    for module in [m for m in sys.modules if m.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="pip install matplotlib scikit-learn"):
        draw()


def inside(figure, *texts):
    """Whether texts lie in the figure, up to a pixel."""
    boxes = [text.get_window_extent() for text in texts]
    width, height = figure.bbox.width + 1, figure.bbox.height + 1
    return all(
        b.x0 >= -1 and b.x1 <= width and b.y0 >= -1 and b.y1 <= height for b in boxes
    )


@pytest.mark.parametrize("count", [1, 3])
def test_titles_and_legend_of_points_are_inside_the_figure(count):
    titles = [f"{n} $x^2$ {'a_long_name/' * 8}" for n in range(count)]
    figure = visualization.plot_query_key(random_points(*titles, tokens=4))
    figure.draw_without_rendering()
    drawn = [axes.title for axes in figure.axes]
    assert [title.get_text() for title in drawn] == titles
    assert not any(title.get_parse_math() for title in drawn)
    assert inside(figure, figure.legends[0], *drawn)


def test_points_of_any_size():
    small, large = (
        visualization.plot_query_key(
            {"a": tuple(pair * size for pair in random_points("a")["a"])}
        )
        for size in (1.0, 2.0**100)
    )
    for one, other in zip(points(small.axes[0]), points(large.axes[0]), strict=True):
        np.testing.assert_array_equal(one, other)
