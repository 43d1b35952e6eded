"""What BertViz is given: shapes, values, padding, and that it shows them."""

import json
import re
import sys

import keras
import numpy as np
import pytest

from keras_align import record_attention
from keras_align.diagnostics import AttentionRecord
from keras_align.visualization import to_bertviz

pytestmark = pytest.mark.slow_on("jax")

# BertViz does not close the files of its scripts.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
TOKENS = ["[CLS]", "a", "fine", "film", "[SEP]", "[PAD]", "[PAD]"]


@pytest.fixture(scope="module")
def records():
    """Of two layers of a model, on two samples, the second with padding."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, 16, mask_zero=True)(inputs)
    for name in ("first", "second"):
        x = keras.layers.MultiHeadAttention(2, 8, name=name)(x, x)
    ids = np.array([[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 0, 0]])
    return record_attention(keras.Model(inputs, x), ids)


def cross_records(queries=4, keys=3, heads=2):
    rng = np.random.default_rng(0)
    masks = np.ones((1, queries), bool), np.ones((1, keys), bool)
    scores = rng.dirichlet(np.ones(keys), (1, heads, queries)).astype("float32")
    query, key = (rng.normal(size=(1, n, heads, 8)) for n in (queries, keys))
    return {"cross": AttentionRecord(query, key, *masks, scores)}


def test_attention_is_a_tensor_of_one_sample_for_each_layer(records):
    torch = pytest.importorskip("torch")
    result = to_bertviz(records, TOKENS, sample=1)
    assert set(result) == {"attention", "tokens"}
    assert result["tokens"] == TOKENS[:5]
    for name, tensor in zip(records, result["attention"], strict=True):
        assert tensor.shape == (1, 2, 5, 5) and tensor.dtype == torch.float32
        expected = records[name].scores[1:, :, :5, :5]
        np.testing.assert_array_equal(tensor.numpy(), expected)
        np.testing.assert_allclose(tensor.sum(-1).numpy(), 1.0, rtol=1e-5)


def test_tokens_may_come_without_padding(records):
    pytest.importorskip("torch")
    assert to_bertviz(records, TOKENS[:5], sample=1)["tokens"] == TOKENS[:5]
    assert to_bertviz(records, TOKENS, sample=0)["tokens"] == TOKENS


def test_neurons_explain_the_attention(records):
    """The weights are the softmax of the products of these queries and keys."""
    result = to_bertviz(records, TOKENS, sample=1, neurons=True)
    data = json.loads(json.dumps(result))["all"]
    assert data["left_text"] == data["right_text"] == TOKENS[:5]
    queries, keys = np.array(data["queries"]), np.array(data["keys"])
    assert queries.shape == keys.shape == (2, 2, 5, 8)
    logits = queries @ keys.swapaxes(-1, -2) / np.sqrt(8)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.array(data["attn"]), weights, rtol=1e-4)


def test_cross_attention():
    pytest.importorskip("torch")
    records = cross_records()
    result = to_bertviz(records, list("abcd"), key_tokens=list("xyz"))
    (tensor,) = result["cross_attention"]
    np.testing.assert_array_equal(tensor.numpy(), records["cross"].scores)
    assert result["decoder_tokens"] == list("abcd")
    assert result["encoder_tokens"] == list("xyz")
    data = to_bertviz(records, list("abcd"), key_tokens=list("xyz"), neurons=True)
    assert np.shape(data["all"]["keys"]) == (1, 2, 3, 8)
    assert data["all"]["right_text"] == list("xyz")


def test_what_is_refused(records):
    with pytest.raises(ValueError, match="`tokens` must hold 7 tokens, or 5 without"):
        to_bertviz(records, TOKENS[:6], sample=1)
    with pytest.raises(ValueError, match="`key_tokens` must be given"):
        to_bertviz(cross_records(), list("abcd"))
    with pytest.raises(ValueError, match=r"records\['cross'\], \(2, 4, 3\)"):
        to_bertviz({**records, **cross_records()}, TOKENS)
    with pytest.raises(ValueError, match="`sample` must be below 2"):
        to_bertviz(records, TOKENS, sample=2)
    with pytest.raises(ValueError, match="`records` must be"):
        to_bertviz({}, TOKENS)


def test_a_missing_package_is_named(records, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        to_bertviz(records, TOKENS)


def parameters(html):
    """What the script in a page of BertViz is given."""
    found = re.search(r"params = (\{.*\})(;|\n)", html.data)
    return json.loads(found[1])


@leaves_files_open
def test_bertviz_shows_it(records):
    bertviz = pytest.importorskip("bertviz")
    arguments = to_bertviz(records, TOKENS, sample=1)
    for view in (bertviz.head_view, bertviz.model_view):
        shown = parameters(view(**arguments, html_action="return"))["attention"][0]
        assert shown["left_text"] == shown["right_text"] == TOKENS[:5]
        expected = [each.scores[1, :, :5, :5] for each in records.values()]
        np.testing.assert_allclose(np.array(shown["attn"]), expected, rtol=1e-6)


@leaves_files_open
def test_bertviz_shows_encoder_decoder_and_cross_attention(records):
    bertviz = pytest.importorskip("bertviz")
    arguments = to_bertviz(cross_records(7, 5), TOKENS, key_tokens=TOKENS[:5])
    encoder, decoder = (to_bertviz(records, TOKENS, sample=n) for n in (1, 0))
    html = bertviz.head_view(
        **arguments,
        encoder_attention=encoder["attention"][:1],
        decoder_attention=decoder["attention"][:1],
        html_action="return",
    )
    names = [each["name"] for each in parameters(html)["attention"]]
    assert names == ["Encoder", "Decoder", "Cross"]


@leaves_files_open
def test_the_neuron_view_shows_it(records, monkeypatch):
    pytest.importorskip("bertviz")
    from bertviz import neuron_view

    data = to_bertviz(records, TOKENS, sample=1, neurons=True)
    monkeypatch.setattr(neuron_view, "get_attention", lambda *_, **__: data)
    html = neuron_view.show(None, "bert", None, "", html_action="return")
    shown = parameters(html)["attention"]["all"]
    assert shown == data["all"]
