"""Curves of what a monitor recorded: layers, bands, epochs."""

import types

import keras
import numpy as np
import pytest
from figure_parts import legend, lines, panels

pytest.importorskip("matplotlib")

from keras_align import AlignedMultiHeadAttention, callbacks, visualization

pytestmark = pytest.mark.slow_on("jax", "torch")

LOGS = {"accuracy": [0.5, 0.6], "alignment_loss": [3.0, 2.0], "loss": [0.9, 0.7]}


def records(scale=1.0, steps_per_epoch=2, epochs=3, layers=2, heads=3):
    """Records of a monitor, the first before training, and values by step and layer."""
    rng = np.random.default_rng(int(10 * scale))
    steps = epochs * steps_per_epoch + 1
    values = scale * rng.random((steps, layers, heads))
    found = [
        {
            "step": 10 * step,
            "epoch": step // steps_per_epoch,
            "layer": f"bert/layer_{layer}/attention",
            "head": head,
            "quantity": "mmd",
            "value": float(values[step, layer, head]),
        }
        for step in range(steps)
        for layer in range(layers)
        for head in range(heads)
    ]
    return found, values


def test_a_monitor_has_a_curve_for_every_layer():
    found, values = records()
    monitor = types.SimpleNamespace(records=found)
    figure = visualization.plot_history(monitor)
    (axes,) = figure.axes
    assert (axes.get_title(), axes.get_xlabel()) == ("alignment/mmd", "step")
    assert legend(figure) == ["layer_0", "layer_1"]
    for layer, (x, y) in enumerate(lines(axes)):
        np.testing.assert_array_equal(x, 10 * np.arange(7))
        np.testing.assert_allclose(y, values[:, layer].mean(-1))
    over_epochs = visualization.plot_history(found, axis="epoch")
    for layer, (x, y) in enumerate(lines(over_epochs.axes[0])):
        np.testing.assert_array_equal(x, [0, 1, 2, 3])
        np.testing.assert_allclose(y, values[::2, layer].mean(-1))


@pytest.mark.parametrize("no_head", [None, float("nan")])
def test_what_was_recorded_of_a_layer_goes_before_its_heads(no_head):
    found, _ = records(steps_per_epoch=1)
    first = [each for each in found if each["head"] == 0]
    whole = [{**each, "head": no_head, "value": each["step"]} for each in first]
    figure = visualization.plot_history([*found, *whole])
    for x, y in lines(figure.axes[0]):
        np.testing.assert_array_equal(x, [0, 1, 2, 3])
        np.testing.assert_array_equal(y, [0, 10, 20, 30])


def test_the_monitor_of_this_package():
    monitor_class = getattr(callbacks, "AlignmentMonitor", None)
    if monitor_class is None:
        pytest.skip("there is no monitor")
    inputs = keras.Input((4, 8))
    x = AlignedMultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]))
    model.compile("sgd", "mse")
    samples = np.random.default_rng(0).normal(size=(8, 4, 8)).astype("float32")
    monitor = monitor_class(samples, per_head=True)
    given = {"batch_size": 8, "epochs": 2, "verbose": 0, "callbacks": [monitor]}
    history = model.fit(samples, np.ones(8), **given)
    runs = {"monitor": monitor, "history": history}
    drawn = panels(visualization.plot_history(runs))
    (total,) = lines(drawn["alignment/total_mmd"])
    (of_layer,) = lines(drawn["alignment/mmd"])  # also before the first step
    np.testing.assert_array_equal(of_layer[0], [0, 1, 2])
    np.testing.assert_allclose(of_layer[1][1:], total[1], rtol=1e-5)
    np.testing.assert_array_equal(lines(drawn["loss"])[0][1], history.history["loss"])
    assert not np.allclose(
        lines(drawn["alignment/loss"])[0][1], lines(drawn["loss"])[0][1]
    )


def test_compared_monitors_have_a_band_from_the_lowest_to_the_highest_layer():
    runs = {"soft": records(2.0), "ct": records(0.5)}
    figure = visualization.plot_history({t: found for t, (found, _) in runs.items()})
    (axes,) = figure.axes
    assert len(axes.lines) == len(axes.collections) == 2
    for (_, values), line, band in zip(
        runs.values(), axes.lines, axes.collections, strict=True
    ):
        of_layers = values.mean(-1)
        np.testing.assert_allclose(line.get_ydata(), of_layers.mean(-1))
        corners = band.get_paths()[0].vertices
        assert corners[:, 1].min() == pytest.approx(of_layers.min())
        assert corners[:, 1].max() == pytest.approx(of_layers.max())
    assert legend(figure) == ["soft", "ct", "lowest to highest layer"]


def test_monitors_and_histories_share_epochs():
    found, _ = records()
    figure = visualization.plot_history({"monitored": found, "logged": LOGS})
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    assert list(panels(figure)) == [
        "loss",
        "accuracy",
        "alignment/mmd",
        "alignment_loss",
    ]


def test_layers_without_heads():
    found = [
        {"step": n, "epoch": n, "layer": None, "head": None, "quantity": q, "value": n}
        for n in range(3)
        for q in ("total", "weight")
    ]
    drawn = panels(visualization.plot_history(found))
    assert list(drawn) == ["alignment/total", "alignment/weight"]
    (line,) = lines(drawn["alignment/total"])
    np.testing.assert_array_equal(line, [[0, 1, 2], [0, 1, 2]])
