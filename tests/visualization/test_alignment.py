"""Heat maps of the discrepancy: cells, colours, totals, names, what is refused."""

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from keras_align import measure_alignment, visualization
from keras_align.diagnostics import AlignmentMeasure
from keras_align.visualization.numbers_in_cells import short_number

pytestmark = pytest.mark.slow_on("jax", "torch")


def measure(per_layer):
    per_layer = {path: np.asarray(x, "float64") for path, x in per_layer.items()}
    return AlignmentMeasure(per_layer, dict.fromkeys(per_layer, 1.0))


def random_measure(layers=6, heads=12, size=1.0, seed=0):
    values = size * np.random.default_rng(seed).gamma(0.5, 1.0, (layers, heads))
    return measure({f"bert/layer_{n}/attention": row for n, row in enumerate(values)})


def cells(axes):
    return axes.collections[0].get_array()


def numbers_of(axes):
    """The texts in the cells by row and column."""
    found = {}
    for text in axes.texts:
        x, y = text.get_position()
        found[int(y), int(x)] = text.get_text()
    return found


def names_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_cells_hold_what_was_measured():
    inputs = keras.Input((None, 16))
    first = keras.layers.MultiHeadAttention(2, 8, name="first")(inputs, inputs)
    second = keras.layers.MultiHeadAttention(4, 8, name="second")(first, first)
    model = keras.Model(inputs, second)
    samples = np.random.default_rng(0).normal(size=(4, 5, 16)).astype("float32")
    measured = measure_alignment(model, samples)
    figure = visualization.plot_alignment(measured)
    axes, _ = figure.axes
    assert axes.get_title() == f"total MMD {short_number(measured.total)}"
    assert names_of(axes) == ["first", "second"]
    assert cells(axes).shape == (2, 4)
    np.testing.assert_array_equal(cells(axes)[0, :2], measured.per_layer["first"])
    np.testing.assert_array_equal(cells(axes)[1], measured.per_layer["second"])
    assert cells(axes).mask[0].tolist() == [False, False, True, True]
    assert set(numbers_of(axes)) == {(0, 0), (0, 1), *((1, n) for n in range(4))}
    assert axes.yaxis_inverted()  # the first layer is at the top


def test_panels_share_one_scale_and_show_totals():
    before, after = random_measure(size=1.0), random_measure(size=0.01, seed=1)
    figure = visualization.plot_alignment({"as it $x$ came": before, "matched": after})
    first, second, _ = figure.axes
    assert first.get_title() == (
        f"as it $x$ came\ntotal MMD {short_number(before.total)}"
    )
    assert not first.title.get_parse_math()
    largest = before.values.max()
    for axes in (first, second):
        assert axes.collections[0].get_clim() == (0.0, pytest.approx(largest))
    assert names_of(first) == [f"layer_{n}" for n in range(6)]
    assert numbers_of(second)[2, 3] == short_number(after.values[2, 3])


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_numbers_below_zero(scale):
    figure = visualization.plot_alignment(
        measure({"a": [0.5, -0.002], "b": [0.05, 0.0]}), scale=scale
    )
    axes, _ = figure.axes
    image = axes.collections[0]
    negative, zero = image.to_rgba(cells(axes))[[0, 1], [1, 1]]
    assert numbers_of(axes)[0, 1] == "-0.002"
    if scale == "linear":
        assert image.get_clim() == (-0.002, 0.5)
        assert not np.allclose(negative, zero)
    else:  # grey, which is no colour of the scale
        assert image.get_clim() == (pytest.approx(0.05), 0.5)
        assert negative[0] == negative[1] == negative[2] and (negative == zero).all()


def test_a_logarithmic_scale_shows_four_decades():
    values = [3.0, 2e-3, 1e-9]
    figure = visualization.plot_alignment(measure({"a": values}), scale="log")
    image = figure.axes[0].collections[0]
    assert image.get_clim() == pytest.approx((3e-4, 3.0))
    assert image.norm(np.sqrt(3e-4 * 3.0)) == pytest.approx(0.5)
    assert image.colorbar.extend == "min"
    whole = visualization.plot_alignment(measure({"a": values[:2]}), scale="log")
    assert whole.axes[0].collections[0].colorbar.extend == "neither"


def test_what_is_no_number_is_said():
    figure = visualization.plot_alignment(measure({"a": [0.5, np.nan]}))
    axes, _ = figure.axes
    assert numbers_of(axes)[0, 1] == "nan" and axes.get_title() == "total MMD nan"
    assert axes.collections[0].get_clim() == (0.0, 0.5)


@pytest.mark.parametrize(
    "given, numbers, drawn",
    [((6, 12), True, 72), ((6, 12), False, 0), ((2, 64), True, 0)],
)
def test_numbers_are_drawn_where_they_fit(given, numbers, drawn):
    figure = visualization.plot_alignment(random_measure(*given), numbers=numbers)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert len(axes.texts) == drawn
    cell = axes.bbox.width / given[1]
    assert all(text.get_window_extent().width < cell for text in axes.texts)


@pytest.mark.parametrize("layers, heads", [(1, 1), (2, 3), (6, 12), (24, 16)])
def test_texts_lie_inside_a_figure_that_fits_a_page(layers, heads):
    long = {
        f"classifier/{n}_a_long_name_of_a_$block$/attention": np.ones(heads)
        for n in range(layers)
    }
    panels = {"as it came": measure(long), "matched": random_measure(layers, heads)}
    figure = visualization.plot_alignment(panels)
    figure.draw_without_rendering()
    assert figure.get_figwidth() < 12
    for axes in figure.axes[:2]:
        texts = [axes.title, axes.xaxis.label, *axes.get_yticklabels()]
        for text in texts:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1
            assert box.y0 >= -1 and box.y1 <= figure.bbox.height + 1
    (label,) = [axes.yaxis.label for axes in figure.axes[2:]]
    assert label.get_window_extent().x1 <= figure.bbox.width + 1


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0"),
        (123.4, "123"),
        (18.06, "18.1"),
        (9.96, "10.0"),
        (2.604, "2.60"),
        (0.0999, "0.10"),
        (0.0994, "0.099"),
        (-0.0021, "-0.002"),
        (0.00094, "9e-4"),
        (-3e-12, "-3e-12"),
        (np.nan, "nan"),
    ],
)
def test_short_numbers(value, text):
    assert short_number(value) == text


@pytest.mark.parametrize(
    "measures, options, message",
    [
        ({}, {}, "at least one entry"),
        (None, {}, "`measures` must be a dictionary"),
        (measure({}), {}, "`measures` must be an `AlignmentMeasure` of at least one"),
        ({"a": np.ones((2, 3))}, {}, r"measures\['a'\] of type ndarray"),
        (random_measure(), {"scale": "sqrt"}, "`scale` must be one of"),
        (measure({"a": [-1.0]}), {"scale": "log"}, "`scale` may be 'log' only if"),
    ],
)
def test_what_is_refused(measures, options, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_alignment(measures, **options)
