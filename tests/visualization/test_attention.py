"""Heat maps of attention weights: colours, words, differences, what is refused."""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

from keras_align import visualization  # noqa: E402

pytestmark = pytest.mark.slow_on("jax", "torch")

WORDS = ["[CLS]", "a", "fine", "film", "[SEP]"]
STRANGE = ["$$", "$x^2$", "a_b", "\\alpha", "two\nlines", "", "x" * 40, "\u0120the"]


def random_weights(*shape):
    return np.random.default_rng(1).dirichlet(np.ones(shape[-1]), shape[:-1])


def inside(figure, *texts):
    """Whether texts lie in the figure, up to a pixel."""
    boxes = [text.get_window_extent() for text in texts]
    width, height = figure.bbox.width + 1, figure.bbox.height + 1
    return all(
        b.x0 >= -1 and b.x1 <= width and b.y0 >= -1 and b.y1 <= height for b in boxes
    )


def test_attention_shows_the_weights_under_the_words():
    scores = {"soft": random_weights(5, 5), "ct": np.eye(5)}
    figure = visualization.plot_attention(scores, WORDS)
    panels = figure.axes[:2]
    assert len(figure.axes) == 3  # and the colour bar
    for axes, (title, matrix) in zip(panels, scores.items(), strict=True):
        assert axes.get_title() == title
        np.testing.assert_allclose(axes.images[0].get_array(), matrix, rtol=1e-6)
        assert [label.get_text() for label in axes.get_xticklabels()] == WORDS
        assert axes.images[0].get_clim() == (0.0, 1.0)  # one scale for all panels
    assert [label.get_text() for label in panels[0].get_yticklabels()] == WORDS
    assert not panels[1].get_yticklabels()  # they stand beside the first of a row
    assert figure.get_figwidth() < 10


def test_attention_of_heads_and_of_cross_attention():
    figure = visualization.plot_attention(random_weights(6, 5, 3), WORDS, WORDS[:3])
    assert len(figure.axes) == 7
    assert [a.get_title() for a in figure.axes[:6]] == [f"head {n}" for n in range(6)]
    columns = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in columns] == WORDS[:3]
    assert len(figure.axes[0].get_yticklabels()) == 5


def test_special_tokens_do_not_set_the_scale_of_attention():
    weights = np.full((5, 5), 0.05)
    weights[:, 0] = 0.8
    tokens = ["[CLS]", *WORDS[1:]]
    figure = visualization.plot_attention(
        {"a": weights}, tokens, special_tokens=("[CLS]", "[SEP]")
    )
    axes, bar = figure.axes
    assert axes.images[0].get_clim() == (0.0, pytest.approx(0.05))
    np.testing.assert_allclose(axes.images[0].get_array(), weights, rtol=1e-6)
    assert bar.get_ylabel() == "attention weight\nscale without special tokens"
    assert axes.images[0].colorbar.extend == "max"
    root = visualization.plot_attention({"a": weights}, tokens, gamma=0.5)
    assert root.axes[0].images[0].norm(0.2) == pytest.approx(0.5)  # 0.8 is the largest
    assert root.axes[1].get_ylabel() == "attention weight (power 0.5)"
    with pytest.raises(ValueError, match="`gamma` must be"):
        visualization.plot_attention({"a": weights}, tokens, gamma=0)
    whole = visualization.plot_attention({"a": weights}, tokens, special_tokens=tokens)
    assert whole.axes[0].images[0].get_clim() == (0.0, pytest.approx(0.8))


def test_the_difference_of_attention_has_colours_around_zero():
    first, second = random_weights(5, 5), np.eye(5)
    scores = {"soft": first, "ct": second, "mmd": first}
    figure = visualization.plot_attention(scores, WORDS, difference=True)
    panels = figure.axes[:4]
    assert [axes.get_title() for axes in panels] == [*scores, "ct - soft"]
    (image,) = panels[3].images
    np.testing.assert_allclose(image.get_array(), second - first, atol=1e-6)
    largest = np.abs(second - first).max()
    assert image.get_clim() == pytest.approx((-largest, largest))
    assert [axes.get_ylabel() for axes in figure.axes[4:]] == [
        "attention weight",
        "difference of weights",
    ]
    with pytest.raises(ValueError, match=r"`difference` needs two.*\['soft'\]"):
        visualization.plot_attention({"soft": first}, WORDS, difference=True)


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


@pytest.mark.parametrize("count", [1, 2, 6])
def test_texts_are_drawn_letter_for_letter_inside_the_figure(count):
    titles = [f"{n}: {'$long$_name/' * 8}\\beta" for n in range(count)]
    scores = {title: random_weights(8, 8) for title in titles}
    with matplotlib.rc_context({"text.parse_math": True}):
        figure = visualization.plot_attention(scores, STRANGE)
        figure.draw_without_rendering()
    for axes, title in zip(figure.axes[:count], titles, strict=True):
        columns, rows = axes.get_xticklabels(), axes.get_yticklabels()
        assert [label.get_text() for label in columns] == STRANGE
        assert [label.get_text() for label in rows] == STRANGE
        assert axes.get_title() == title
        texts = [axes.title, *columns, *rows]
        assert not any(text.get_parse_math() or text.get_usetex() for text in texts)
        assert inside(figure, *texts)
        assert axes.bbox.width > 100 and axes.bbox.height > 100


@pytest.mark.parametrize("tokens", [None, "abc", [1, 2, 3], [b"a", b"b", b"c"]])
def test_tokens_that_are_no_strings_are_refused(tokens):
    with pytest.raises(ValueError, match="`query_tokens` must be a list of strings"):
        visualization.plot_attention({"a": np.eye(3)}, tokens)


def test_texts_that_are_no_unicode_are_refused():
    with pytest.raises(ValueError, match=r"valid Unicode. Received: '\\ud800'"):
        visualization.plot_attention({"a": np.eye(3)}, ["a", "b", "\ud800"])
