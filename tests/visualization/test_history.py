"""Curves of what training logged: panels, lines, gaps, points, what is refused."""

import types

import keras
import numpy as np
import pytest
from figure_parts import legend, lines, panels

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex

from keras_align import AlignedMultiHeadAttention, visualization

pytestmark = pytest.mark.slow_on("jax", "torch")

LOGS = {
    "accuracy": [0.5, 0.6, 0.8],
    "alignment_loss": [3.0, 2.0, 1.0],
    "head_loss": [0.5, 0.4, 0.3],
    "learning_rate": [1e-4, 1e-4, 5e-5],
    "loss": [0.9, 0.7, 0.6],
    "val_accuracy": [0.4, 0.6, 0.7],
    "val_loss": [1.0, 0.8, 0.7],
}


def test_losses_come_first_and_alignment_last():
    figure = visualization.plot_history(LOGS)
    assert list(panels(figure)) == [
        "loss",
        "head_loss",
        "accuracy",
        "alignment_loss",
        "learning_rate",
    ]


def test_validation_is_dashed_in_the_same_panel():
    figure = visualization.plot_history(LOGS)
    training, validation = panels(figure)["loss"].lines
    np.testing.assert_array_equal(training.get_data(), [[1, 2, 3], LOGS["loss"]])
    np.testing.assert_array_equal(validation.get_data(), [[1, 2, 3], LOGS["val_loss"]])
    assert (training.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert training.get_color() == validation.get_color()
    assert legend(figure) == ["training", "validation"]
    assert len(panels(figure)["alignment_loss"].lines) == 1


def test_a_history_of_fit():
    inputs = keras.Input((4, 8))
    x = AlignedMultiHeadAttention(2, 4)(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]))
    model.compile("sgd", "mse")
    samples = np.random.default_rng(0).normal(size=(8, 4, 8)).astype("float32")
    data = {"x": samples, "y": np.ones(8), "validation_data": (samples, np.ones(8))}
    history = model.fit(
        **data, initial_epoch=3, epochs=7, validation_freq=2, batch_size=8, verbose=0
    )
    drawn = panels(visualization.plot_history(history))
    assert list(drawn) == ["loss", "alignment_loss"]
    training, validation = lines(drawn["loss"])
    np.testing.assert_array_equal(training, [[4, 5, 6, 7], history.history["loss"]])
    # Keras validates after the epochs that 2 divides.
    np.testing.assert_array_equal(validation, [[4, 6], history.history["val_loss"]])
    assert (lines(drawn["alignment_loss"])[0][1] > 0).all()


@pytest.mark.parametrize(
    "count, epochs", [(5, [1, 2, 3, 4, 5]), (2, [2, 4]), (1, [3]), (3, [1, 2, 3])]
)
def test_shorter_lists(count, epochs):
    logs = {"loss": [5.0, 4.0, 3.0, 2.0, 1.0], "val_loss": np.arange(count)}
    _, validation = lines(panels(visualization.plot_history(logs))["loss"])
    np.testing.assert_array_equal(validation, [epochs, np.arange(count)])


def test_what_is_not_finite_is_a_gap_and_what_is_alone_a_point():
    loss = [np.nan, 0.9, 0.8, np.inf, 0.6, np.nan, 0.4, 0.3]
    (line,) = panels(visualization.plot_history({"loss": loss}))["loss"].lines
    expected = [x if np.isfinite(x) else np.nan for x in loss]
    np.testing.assert_array_equal(line.get_ydata(), expected)
    assert line.get_markevery() == [4] and line.get_marker() == "o"


def test_one_epoch_is_drawn_as_points():
    figure = visualization.plot_history({"loss": [0.5], "val_loss": [0.7]})
    (axes,) = figure.axes
    training, validation = axes.lines
    for line, value in ((training, 0.5), (validation, 0.7)):
        np.testing.assert_array_equal(line.get_data(), [[1], [value]])
        assert line.get_markevery() == [0] and line.get_marker() == "o"
    assert to_hex(validation.get_markerfacecolor()) == "#ffffff"
    assert to_hex(training.get_markerfacecolor()) != "#ffffff"
    figure.draw_without_rendering()
    first, last = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if first <= tick <= last] == [1]


def test_runs_have_colours_of_their_own():
    runs = {"soft": LOGS, "ct": {**LOGS, "loss": [0.8, 0.5, 0.4]}}
    figure = visualization.plot_history(runs, quantities=["accuracy", "loss"])
    assert list(panels(figure)) == ["accuracy", "loss"]
    drawn = panels(figure)["loss"].lines
    colours = [line.get_color() for line in drawn]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    np.testing.assert_array_equal(drawn[2].get_ydata(), [0.8, 0.5, 0.4])
    assert legend(figure) == ["soft", "ct", "training", "validation"]


def test_scales():
    figure = visualization.plot_history(LOGS, log_scale=["alignment_loss"])
    scales = {title: axes.get_yscale() for title, axes in panels(figure).items()}
    assert scales.pop("alignment_loss") == "log" and set(scales.values()) == {"linear"}


@pytest.mark.parametrize("count", [1, 3, 7])
def test_texts_lie_inside_the_figure(count):
    names = [f"metric_{n}_$x^2$_{'of_a_long_name_' * 4}" for n in range(count)]
    logs = {f"{prefix}{n}": [1, 2] for n in names for prefix in ("", "val_")}
    figure = visualization.plot_history({f"run $x$ {n}": logs for n in range(6)})
    figure.draw_without_rendering()
    texts = [axes.title for axes in figure.axes]
    assert [text.get_text() for text in texts] == names
    for text in (*texts, *figure.legends[0].get_texts()):
        assert not text.get_parse_math()
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1
        assert box.y0 >= -1 and box.y1 <= figure.bbox.height + 1


@pytest.mark.parametrize(
    "history, options, message",
    [
        ({}, {}, "something that was logged"),
        (None, {}, "`history` must be .* of type NoneType"),
        ({"soft": "loss"}, {}, r"history\['soft'\] of type str"),
        ({"soft": {"loss": ["a"]}}, {}, r"history\['soft'\] of type dict"),
        ({"loss": []}, {}, "without a number"),
        (keras.callbacks.History(), {}, "`history` must be"),
        (types.SimpleNamespace(records=[]), {}, "with no record"),
        ([{"step": 1}], {}, "records must be dictionaries with"),
        (LOGS, {"quantities": ["f1"]}, r"`quantities` must .*'loss'.*\['f1'\]"),
        (LOGS, {"quantities": []}, "`quantities` must"),
        (LOGS, {"log_scale": ["f1"]}, "`log_scale` must"),
        (LOGS, {"axis": "time"}, "`axis` must be one of"),
        (LOGS, {"axis": "step"}, "`axis` may be 'step' only for"),
    ],
)
def test_what_is_refused(history, options, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_history(history, **options)
