"""Properties of the pictures: panels, bars, labels, determinism, errors."""

import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from matplotlib.figure import Figure  # noqa: E402

from keras_align import visualization  # noqa: E402

WORDS = ["[CLS]", "a", "fine", "film", "[SEP]"]


def random_clouds(*titles, tokens=30):
    rng = np.random.default_rng(0)
    return {title: tuple(rng.normal(size=(2, tokens, 8))) for title in titles}


def random_weights(*shape):
    return np.random.default_rng(1).dirichlet(np.ones(shape[-1]), shape[:-1])


def points(axes):
    return [collection.get_offsets().data for collection in axes.collections]


def test_query_key_has_a_panel_for_every_entry():
    figure = visualization.plot_query_key(random_clouds("soft", "ct", "gan"))
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
    clouds = random_clouds("soft", tokens=50)

    def draw(seed):
        figure = visualization.plot_query_key(clouds, max_tokens=20, seed=seed)
        return np.concatenate(points(figure.axes[0]))

    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))
    assert draw(3).shape == (40, 2)


@pytest.mark.parametrize("tokens, width", [(2, 8), (5, 1)])
def test_query_key_of_tiny_clouds(tokens, width):
    clouds = tuple(np.random.default_rng(0).normal(size=(2, tokens, width)))
    figure = visualization.plot_query_key({"tiny": clouds})
    assert all(np.isfinite(part).all() for part in points(figure.axes[0]))


def test_query_key_of_collapsed_clouds():
    figure = visualization.plot_query_key({"equal": (np.ones((9, 4)), np.ones((9, 4)))})
    assert all(np.isfinite(part).all() for part in points(figure.axes[0]))


@pytest.mark.parametrize(
    "clouds, message",
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
def test_query_key_refuses(clouds, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_query_key(clouds)


@pytest.mark.parametrize("option", [{"max_tokens": 1}, {"perplexity": 0}])
def test_query_key_refuses_options(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}` must be"):
        visualization.plot_query_key(random_clouds("a"), **option)


def test_attention_shows_the_weights_under_the_words():
    scores = {"soft": random_weights(5, 5), "ct": np.eye(5)}
    figure = visualization.plot_attention(scores, WORDS)
    panels = figure.axes[:2]
    assert len(figure.axes) == 3  # and the colour bar
    for axes, (title, matrix) in zip(panels, scores.items(), strict=True):
        assert axes.get_title() == title
        np.testing.assert_allclose(axes.images[0].get_array(), matrix, rtol=1e-6)
        assert [label.get_text() for label in axes.get_xticklabels()] == WORDS
        assert [label.get_text() for label in axes.get_yticklabels()] == WORDS
        assert axes.images[0].get_clim() == (0.0, 1.0)  # one scale for all panels


def test_attention_of_heads_and_of_cross_attention():
    figure = visualization.plot_attention(random_weights(6, 5, 3), WORDS, WORDS[:3])
    assert len(figure.axes) == 7
    assert [a.get_title() for a in figure.axes[:6]] == [f"head {n}" for n in range(6)]
    columns = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in columns] == WORDS[:3]
    assert len(figure.axes[0].get_yticklabels()) == 5


@pytest.mark.parametrize(
    "scores, message",
    [
        ({}, "at least one entry"),
        (np.ones((5, 5)), r"\(N, T, S\).*scores.shape=\(5, 5\)"),
        ({"a": np.ones((4, 5))}, r"shape \(5, 5\). Received: .* \(4, 5\)"),
        ({"a": -np.eye(5)}, "not negative"),
        ({"a": np.full((5, 5), np.inf)}, "finite"),
    ],
)
def test_attention_refuses(scores, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_attention(scores, WORDS)


def calibrated(count=400, seed=5):
    rng = np.random.default_rng(seed)
    positive = rng.random(count)
    labels = (rng.random(count) < positive).astype(int)
    return labels, np.stack([1 - positive, positive], -1).astype("float32")


def test_reliability_bars_are_the_accuracy_of_the_bins():
    labels, probabilities = calibrated()
    figure = visualization.plot_reliability({"soft": (labels, probabilities)})
    diagram, shares = figure.axes
    confidence = probabilities.max(-1)
    hit = probabilities.argmax(-1) == labels
    bins = np.ceil(confidence * 10).astype(int) - 1
    used = sorted(set(bins))
    accuracy = [hit[bins == m].mean() for m in used]
    mean_confidence = [confidence[bins == m].mean() for m in used]
    bars, gaps = diagram.containers
    heights = [bar.get_height() for bar in bars]
    np.testing.assert_allclose(heights, accuracy, rtol=1e-5)
    centers = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    np.testing.assert_allclose(centers, (np.array(used) + 0.5) / 10)
    ends = [gap.get_y() + gap.get_height() for gap in gaps]
    np.testing.assert_allclose(ends, mean_confidence, rtol=1e-5)
    heights = [bar.get_height() for bar in shares.containers[0]]
    np.testing.assert_allclose(heights, np.bincount(bins, minlength=10) / len(bins))
    share = np.bincount(bins)[used] / len(bins)
    error = np.sum(share * np.abs(np.subtract(accuracy, mean_confidence)))
    assert diagram.get_title() == f"soft\nECE {100 * error:.1f}%"


def test_reliability_has_two_axes_for_every_entry():
    entries = {f"model {n}": calibrated(seed=n) for n in range(5)}
    figure = visualization.plot_reliability(entries, num_bins=4)
    assert len(figure.axes) == 10
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes[::2]]
    assert titles == list(entries)
    assert len(figure.axes[1].containers[0]) == 4


@pytest.mark.parametrize(
    "predictions, message",
    [
        ({}, "at least one entry"),
        ({"a": np.ones((3, 2))}, "must hold pairs"),
        ({"a": ([0, 1], np.ones((3, 2)))}, "`y_true` must hold"),
    ],
)
def test_reliability_refuses(predictions, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_reliability(predictions)


def test_no_global_state_is_touched(tmp_path):
    before = dict(matplotlib.rcParams)
    pyplot = sys.modules.pop("matplotlib.pyplot", None)
    figures = [
        visualization.plot_query_key(random_clouds("soft")),
        visualization.plot_attention({"soft": np.eye(5)}, WORDS),
        visualization.plot_reliability({"soft": calibrated()}),
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
        ("sklearn", lambda: visualization.plot_query_key(random_clouds("soft"))),
        (
            "matplotlib",
            lambda: visualization.plot_attention({"soft": np.eye(5)}, WORDS),
        ),
        ("matplotlib", lambda: visualization.plot_reliability({"a": calibrated()})),
    ],
)
def test_missing_packages_are_named(monkeypatch, missing, draw):
    for module in [m for m in sys.modules if m.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="pip install matplotlib scikit-learn"):
        draw()
