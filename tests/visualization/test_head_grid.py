"""Small heat maps of layers and heads: weights, padding, names, what is refused."""

import dataclasses

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from keras_align import record_attention, visualization
from keras_align.diagnostics import AttentionRecord

pytestmark = pytest.mark.slow_on("jax", "torch")

WORDS = ["[CLS]", "a", "fine", "film", "[SEP]"]
LAYERS = [f"classifier/bert/layer_{n}/attention" for n in range(3)]


def random_record(heads=4, queries=7, keys=7, real=5, seed=0):
    """Weights of two samples, of which the first has padding."""
    rng = np.random.default_rng(seed)
    query_mask, key_mask = np.ones((2, queries), bool), np.ones((2, keys), bool)
    query_mask[0, real:] = key_mask[0, min(real, keys) :] = False
    scores = rng.random((2, heads, queries, keys)) * key_mask[:, None, None]
    scores /= np.maximum(scores.sum(-1, keepdims=True), 1e-9)
    query, key = (rng.normal(size=(2, n, heads, 8)) for n in (queries, keys))
    return AttentionRecord(query, key, query_mask, key_mask, scores)


def random_records(paths=LAYERS, **options):
    return {
        path: random_record(seed=seed, **options) for seed, path in enumerate(paths)
    }


def heat_maps(figure):
    return [axes for axes in figure.axes if axes.images]


def drawn(axes):
    return np.asarray(axes.images[0].get_array())


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_panels_hold_the_weights_of_a_model():
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, 16, mask_zero=True)(inputs)
    for name in ("first", "second"):
        x = keras.layers.MultiHeadAttention(2, 8, name=name)(x, x)
    ids = np.array([[1, 2, 3, 4], [1, 2, 0, 0]])
    records = record_attention(keras.Model(inputs, x), ids)
    figure = visualization.plot_head_grid(records, ["a", "film", "", ""], sample=1)
    panels = heat_maps(figure)
    expected = [
        records[name].scores[1, head, :2, :2]
        for name in ("first", "second")
        for head in (0, 1)
    ]
    for axes, weights in zip(panels, expected, strict=True):
        np.testing.assert_array_equal(drawn(axes), weights)
        np.testing.assert_allclose(drawn(axes).sum(-1), 1.0, rtol=1e-5)
    assert [x.get_text() for x in panels[0].get_yticklabels()] == ["a", "film"]
    assert texts(figure)[:5] == ["first", "second", "0", "1", "head"]


def test_panels_stand_in_rows_of_layers_and_columns_of_heads():
    figure = visualization.plot_head_grid(random_records(), WORDS)
    figure.draw_without_rendering()
    boxes = [axes.get_position() for axes in heat_maps(figure)]
    assert len(boxes) == 12
    lefts = np.reshape([box.x0 for box in boxes], (3, 4))
    bottoms = np.reshape([box.y0 for box in boxes], (3, 4))
    assert (np.diff(lefts, axis=1) > 0).all() and np.ptp(lefts, axis=0).max() < 1e-9
    assert (np.diff(bottoms, axis=0) < 0).all() and np.ptp(bottoms, axis=1).max() < 1e-9
    sizes = {(round(a.bbox.width), round(a.bbox.height)) for a in heat_maps(figure)}
    assert len(sizes) == 1


def test_choosing_layers_and_heads():
    records = random_records()
    figure = visualization.plot_head_grid(
        records, layers=["layer_2", 0], heads=[3, 1], sample=1
    )
    expected = [
        records[path].scores[1, head]
        for path in (LAYERS[2], LAYERS[0])
        for head in (3, 1)
    ]
    for axes, weights in zip(heat_maps(figure), expected, strict=True):
        np.testing.assert_array_equal(drawn(axes), weights)
    assert texts(figure)[:4] == ["layer_2", "layer_0", "3", "1"]


def test_layers_of_different_heads_leave_blanks():
    records = {"a": random_record(2), "b": random_record(4)}
    figure = visualization.plot_head_grid(records)
    assert len(heat_maps(figure)) == 6
    assert len(heat_maps(visualization.plot_head_grid(records, heads=[3]))) == 1


def test_one_colour_scale_with_and_without_special_tokens():
    records = random_records()
    figure = visualization.plot_head_grid(records, WORDS)
    everything = np.stack([each.scores[0, :, :5] for each in records.values()])
    for axes in heat_maps(figure):
        norm = axes.images[0].norm
        assert (norm.vmin, norm.vmax) == (0.0, pytest.approx(everything.max()))
        assert norm(everything.max() / 4) == pytest.approx(0.5)  # a square root
    assert "colours: attention weight (power 0.5)\n" in texts(figure)[-1]
    figure = visualization.plot_head_grid(
        records, WORDS, special_tokens=("[CLS]", "[SEP]"), gamma=1.0
    )
    norm = heat_maps(figure)[0].images[0].norm
    assert norm.vmax == pytest.approx(everything[..., 1:4].max())
    caption = "colours: attention weight, scale without special tokens\n"
    assert caption in texts(figure)[-1]


def test_tokens_stand_beside_large_panels_and_below_small_ones():
    records = random_records([f"layer_{n}" for n in range(6)], heads=12)
    small = visualization.plot_head_grid(records, WORDS)
    assert not any(axes.get_yticklabels() for axes in heat_maps(small))
    assert texts(small)[-1].split("\n")[1] == (
        "rows: queries, columns: keys, in this order: " + " ".join(WORDS)
    )
    large = visualization.plot_head_grid(records, WORDS, heads=[0, 1])
    panels = heat_maps(large)
    assert [x.get_text() for x in panels[0].get_yticklabels()] == WORDS
    assert [x.get_text() for x in panels[-1].get_xticklabels()] == WORDS
    assert not panels[1].get_yticklabels() and not panels[0].get_xticklabels()
    assert texts(large)[-1].endswith("\nrows: queries, columns: keys")


def test_cross_attention():
    records = {"cross": random_record(2, queries=6, keys=3)}
    words = ["eins", "zwei", "drei"]
    (axes, other) = heat_maps(
        visualization.plot_head_grid(records, WORDS, key_tokens=words)
    )
    assert drawn(axes).shape == (5, 3)
    assert [x.get_text() for x in axes.get_yticklabels()] == WORDS
    assert [x.get_text() for x in other.get_xticklabels()] == words
    many = visualization.plot_head_grid(
        {"cross": random_record(12, queries=6, keys=3)}, WORDS, key_tokens=words
    )
    assert (
        "rows: queries, in this order: [CLS] a fine film [SEP]\n"
        "columns: keys, in this order: eins zwei drei"
    ) in texts(many)[-1]


@pytest.mark.parametrize("layers, heads, tokens", [(6, 12, 5), (1, 1, 5), (2, 16, 90)])
def test_texts_lie_inside_the_figure_and_apart(layers, heads, tokens):
    paths = [f"a_model_$x$/{'long_' * 3}block_{n}/attention" for n in range(layers)]
    records = random_records(paths, heads=heads, queries=tokens, keys=tokens, real=99)
    words = [f"$word_{n}$" for n in range(tokens)]
    figure = visualization.plot_head_grid(records, words)
    figure.draw_without_rendering()
    shown = list(figure.texts)
    for axes in heat_maps(figure):
        shown += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    boxes = [text.get_window_extent() for text in shown]
    for text, box in zip(shown, boxes, strict=True):
        assert not text.get_parse_math()
        assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1
        assert box.y0 >= -1 and box.y1 <= figure.bbox.height + 1
    panels = [axes.get_window_extent() for axes in heat_maps(figure)]
    for box in boxes:
        assert not any(box.overlaps(panel) for panel in panels)


RECORDS = random_records()
NO_WEIGHTS = {"a": dataclasses.replace(random_record(), scores=None)}


@pytest.mark.parametrize(
    "records, options, message",
    [
        ({}, {}, "`records` must be what `record_attention` returns"),
        ({"a": np.ones((2, 2))}, {}, r"records\['a'\] of type ndarray"),
        (NO_WEIGHTS, {}, r"records\['a'\].scores=None"),
        (RECORDS, {"sample": 2}, "`sample` must be below 2"),
        (RECORDS, {"sample": -1}, "`sample` must be an integer >= 0"),
        (RECORDS, {"tokens": "abcde"}, "`tokens` must be a list of strings"),
        (RECORDS, {"tokens": WORDS[:4]}, "must hold 7 tokens, or 5 without"),
        (RECORDS, {"key_tokens": WORDS}, "`tokens` must be given with `key_tokens`"),
        (RECORDS, {"layers": ["bert"]}, "`layers` must hold"),
        (RECORDS, {"heads": [4]}, "`heads` must hold integers from 0 to 3"),
        (RECORDS, {"heads": []}, "`heads` must hold"),
        (RECORDS, {"heads": [1, 1]}, "`heads` must hold"),
        (RECORDS, {"heads": [0.5]}, "`heads` must be an integer >= 0"),
        (RECORDS, {"gamma": 0}, "`gamma` must be a positive number"),
        ({"a": random_record(real=0)}, {}, "`sample` must be one with a real token"),
    ],
)
def test_what_is_refused(records, options, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_head_grid(records, **options)


def test_layers_with_other_padding_are_refused_with_tokens():
    records = {"a": random_record(real=5), "b": random_record(real=4)}
    assert len(heat_maps(visualization.plot_head_grid(records))) == 8
    with pytest.raises(ValueError, match="layers that differ in what is padding"):
        visualization.plot_head_grid(records, list("abcdefg"))


def test_keys_of_others_want_their_own_tokens():
    records = {"cross": random_record(queries=6, keys=9, real=6)}
    with pytest.raises(ValueError, match="`key_tokens` must be given.*9 keys, and 6"):
        visualization.plot_head_grid(records, list("abcdef"), sample=1)
