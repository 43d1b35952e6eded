"""Attacks on classifiers whose weak points are known."""

import json

import keras
import numpy as np
import pytest
import small_classifiers
from hypothesis import given
from hypothesis import strategies as st

from keras_align.robustness import (
    CharacterAttack,
    EncoderSimilarity,
    KerasModelWrapper,
    WordSwapAttack,
    measure_robustness,
)
from keras_align.robustness.small_batches import cut_padding
from keras_align.robustness.worded_text import WordedText

WEIGHTS = {"good": 2.0, "fine": 1.0, "bad": -2.0, "dull": -1.0, "nice": 0.5}


def classifier(texts):
    """Probabilities of a sum of weights of words, as of a linear model."""
    joined = [x if isinstance(x, str) else " ".join(x) for x in texts]
    scores = np.array([
        sum(WEIGHTS.get(word.strip(".,").lower(), 0.0) for word in text.split())
        for text in joined
    ])  # fmt: skip
    right = 1.0 / (1.0 + np.exp(-scores - 0.1))
    return np.stack([1.0 - right, right], axis=-1)


@given(st.text(max_size=40), st.text(max_size=10))
def test_words_are_replaced_and_nothing_else(text, new):
    worded = WordedText(text)
    assert worded.text == text
    for number, word in enumerate(worded.words):
        other = worded.replaced(number, new)
        assert other.replaced(number, word).text == text
        assert other.words[:number] == worded.words[:number]
        assert other.words[number + 1 :] == worded.words[number + 1 :]


def test_words_of_pairs():
    worded = WordedText(("It's good.", "a film"))
    assert worded.words == ["It's", "good", "a", "film"]
    assert [worded.part_of(n) for n in range(4)] == [0, 0, 1, 1]
    assert worded.replaced(2, "the").text == ("It's good.", "the film")


def attacked(attack, text, label=1, predict=classifier):
    return attack.attack(predict, text, label, np.random.default_rng(0))


def test_the_most_important_word_goes_first():
    swaps = WordSwapAttack({"good": ["great"], "fine": ["dull"], "film": ["movie"]})
    found = attacked(swaps, "A fine film, Good")
    # Without "Good" the probability falls most, but "great" leaves that of "fine".
    assert found.perturbed == "A dull film, Great"
    assert (found.result, found.words, found.predicted) == ("succeeded", 2, 0)
    assert found.queries == 1 + 3 + 1 + 1  # the text, words left out, two swaps


def test_a_swap_that_helps_nothing_is_not_kept():
    swaps = WordSwapAttack({"good": ["nice", "good"], "film": ["movie"]})
    found = attacked(swaps, "good film nice")
    assert (found.result, found.perturbed) == ("failed", "nice film nice")
    assert found.words == 1


def test_stop_words_parts_and_the_share_of_words_are_limits():
    neighbors = {"good": ["bad"], "not": ["bad"]}
    assert attacked(WordSwapAttack(neighbors), "not nice").result == "failed"
    pair = ("good", "good nice")
    first = attacked(WordSwapAttack(neighbors, parts=(0,)), pair)
    assert (first.result, first.perturbed) == ("failed", ("bad", "good nice"))
    assert attacked(WordSwapAttack(neighbors), pair).perturbed == ("bad", "bad nice")
    few = attacked(WordSwapAttack(neighbors, max_perturbed=0.4), pair)
    assert (few.result, few.words) == ("failed", 1)


def test_similarity_and_parts_of_speech_are_limits():
    vectors = {"good": [1.0, 0.0], "bad": [0.6, 0.8], "dull": [0.8, 0.6]}
    similarity = EncoderSimilarity(lambda texts: [vectors[text] for text in texts])
    np.testing.assert_allclose(similarity("good", ["bad", "dull"]), [0.6, 0.8])
    swaps = {"good": ["bad", "dull"]}
    for least, expected in ((0.5, "dull"), (0.9, "good")):
        limited = WordSwapAttack(swaps, similarity=similarity, min_similarity=least)
        assert attacked(limited, "good").perturbed == expected
    tagged = WordSwapAttack(
        swaps, part_of_speech=lambda words: [word == "bad" for word in words]
    )
    assert attacked(tagged, "good").perturbed == "dull"


@given(st.text(alphabet="abcdefgh", min_size=1, max_size=9), st.integers(0, 99))
def test_edits_of_characters_are_small(word, seed):
    rng = np.random.default_rng(seed)
    edits = CharacterAttack().candidates([word], 0, rng)
    assert bool(edits) == (len(word) > 2)
    assert len(edits) == len(set(edits)) <= 4 and word not in edits
    for edit in edits:
        assert abs(len(edit) - len(word)) <= 1
        assert edit[-1] == word[-1] or not edit.isascii()


def test_a_text_that_is_wrong_before_is_not_attacked():
    found = attacked(CharacterAttack(), "bad film")
    assert (found.result, found.queries, found.predicted) == ("skipped", 1, 0)


TEXTS = ["A good film.", "A bad film.", "nice", "fine, good and nice", "dull"]
LABELS = [1, 0, 0, 1, 0]


def test_the_measure_and_its_interval():
    swaps = WordSwapAttack({"good": ["bad"], "bad": ["poor"]})
    found = measure_robustness(classifier, TEXTS, LABELS, swaps, verbose=0)
    results = [each["result"] for each in found.examples]
    assert results == ["succeeded", "succeeded", "skipped", "succeeded", "failed"]
    assert found.accuracy == pytest.approx(0.8)
    assert found.accuracy_under_attack == pytest.approx(0.2)
    assert found.failed_attacks == pytest.approx(0.25)
    # statsmodels.stats.proportion.proportion_confint(1, 4, method="wilson")
    np.testing.assert_allclose(found.interval, [0.045587, 0.699358], atol=1e-5)
    assert "failed attacks 25.0% [4.6%, 69.9%]" in str(found)
    assert np.isnan(measure_robustness(
        classifier, ["bad"], [1], swaps, verbose=0
    ).failed_attacks)  # fmt: skip


def test_a_run_that_was_interrupted_goes_on(tmp_path):
    whole, log = tmp_path / "whole.jsonl", tmp_path / "log.jsonl"
    attack = CharacterAttack()
    expected = measure_robustness(
        classifier, TEXTS, LABELS, attack, log=whole, verbose=0
    )
    calls = 0

    def failing(texts):
        nonlocal calls
        calls += 1
        if calls > 7:
            raise KeyboardInterrupt
        return classifier(texts)

    with pytest.raises(KeyboardInterrupt):
        measure_robustness(failing, TEXTS, LABELS, attack, log=log, verbose=0)
    with log.open("a") as stream:
        stream.write('{"index": 2, "te')  # cut off
    again = measure_robustness(classifier, TEXTS, LABELS, attack, log=log, verbose=0)
    assert again == expected
    assert log.read_text() == whole.read_text()
    assert json.loads(log.read_text().splitlines()[1])["text"] == TEXTS[0]
    asked = []

    def counting(texts):
        asked.extend(texts)
        return classifier(texts)

    never = measure_robustness(counting, TEXTS, LABELS, attack, log=log, verbose=0)
    now = [x["perturbed"] for x in expected.examples if x["result"] != "skipped"]
    assert never == expected and asked == TEXTS + now  # tells another model
    with pytest.raises(ValueError, match=r"of the same model.* \[0.1"):
        measure_robustness(
            lambda texts: 1.0 - classifier(texts), TEXTS, LABELS, attack, log=log
        )
    for change in ({"seed": 1}, {"attack": CharacterAttack(max_perturbed=0.5)}):
        options = {"attack": attack, "log": log, "verbose": 0} | change
        with pytest.raises(ValueError, match="`log` must be a new file"):
            measure_robustness(classifier, TEXTS, LABELS, **options)
    with pytest.raises(ValueError, match="other example 1|whose answers of the"):
        measure_robustness(
            classifier, [TEXTS[0], "other", *TEXTS[2:]], LABELS, attack, log=log
        )


def saturated(word):
    """A classifier of one word, that is always sure."""

    def predict(texts):
        good = np.array([word in text for text in texts])
        return np.stack([~good, good], axis=-1).astype("float32")

    return predict


def test_a_log_of_another_model_with_the_same_answers_is_refused(tmp_path):
    texts, labels, log = ["a good film"] * 3, [1] * 3, tmp_path / "log"
    options = {"attack": CharacterAttack(), "log": log, "verbose": 0}
    first = measure_robustness(saturated("good"), texts, labels, **options)
    assert first.failed_attacks == 0.0
    with pytest.raises(ValueError, match=r"which now predicts 1 .* it predicted 0"):
        measure_robustness(saturated("film"), texts, labels, **options)
    assert measure_robustness(saturated("good"), texts, labels, **options) == first


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("similarity", lambda text, others: [1.0] * len(others), lambda *_: [0.9] * 5),
        ("part_of_speech", lambda words: ["N"] * len(words), lambda words: words),
    ],
)
def test_a_log_of_other_callables_is_refused(tmp_path, name, was, now):
    options = {"log": tmp_path / "log", "verbose": 0}
    near = {"good": ["fine"], "bad": ["dull"]}

    def measure(function):
        attack = WordSwapAttack(near, **{name: function})
        return measure_robustness(classifier, TEXTS, LABELS, attack, **options)

    first = measure(was)
    assert measure(was) == first
    with pytest.raises(ValueError, match="same model, texts and attack, whose"):
        measure(now)


def test_a_log_goes_on_with_more_texts(tmp_path):
    log, attack = tmp_path / "log", CharacterAttack()
    few = measure_robustness(
        classifier, TEXTS[:2], LABELS[:2], attack, log=log, verbose=0
    )
    more = measure_robustness(classifier, TEXTS, LABELS, attack, log=log, verbose=0)
    assert more.examples[:2] == few.examples
    assert more == measure_robustness(classifier, TEXTS, LABELS, attack, verbose=0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5", r"log, line 3: 5"),
        ('{"a": 1}', r"examples with \['index'.*log, line 3"),
        ('{"index": 1,', r"log, line 3: Expecting"),
        (None, "line 3.*'result': 'won'"),
    ],
)
def test_a_line_of_a_log_that_is_none_is_said(tmp_path, line, message):
    log, attack = tmp_path / "log", CharacterAttack()
    whole = measure_robustness(classifier, TEXTS, LABELS, attack, log=log, verbose=0)
    lines = log.read_text().splitlines()
    broken = [*lines]
    broken[2] = line or json.dumps(json.loads(lines[2]) | {"result": "won"})
    log.write_text("\n".join(broken) + "\n")
    with pytest.raises(ValueError, match=message):
        measure_robustness(classifier, TEXTS, LABELS, attack, log=log, verbose=0)
    log.write_text("\n".join([*lines[:2], "", *lines[2:]]) + "\n\n")
    again = measure_robustness(classifier, TEXTS, LABELS, attack, log=log, verbose=0)
    assert again == whole


def test_a_text_of_one_word_is_never_emptied():
    def predict(texts):
        assert all(texts)
        return classifier(texts)

    found = attacked(CharacterAttack(), "good", predict=predict)
    assert found.words == 1 and found.perturbed != "good"
    with pytest.raises(ValueError, match="without NaN.*nan.*'good'"):
        attacked(CharacterAttack(), "good", predict=lambda x: np.full((1, 2), np.nan))


def model(outputs=2):
    return keras.Sequential([
        keras.layers.Embedding(20, outputs), keras.layers.GlobalAveragePooling1D()
    ])  # fmt: skip


def lengths(texts):
    """Ids of a preprocessor: the numbers of letters of texts, or of pairs."""
    parts = (texts,) if isinstance(texts, list) else texts
    return np.array([list(map(len, each)) for each in zip(*parts, strict=True)])


def test_batches_of_a_keras_model_have_few_sizes():
    sizes = []

    def preprocessor(texts):
        ids = lengths(texts)
        sizes.append(len(ids))
        return ids

    network = model()
    wrapper = KerasModelWrapper(network, preprocessor, batch_size=16)
    for count in range(1, 35):
        found = wrapper(["a"] * count)
        assert found.shape == (count, 2)
    assert set(sizes) == {4, 8, 16}
    texts = ["a" * k for k in range(1, 8)]
    found = wrapper(texts)
    logits = network.predict(lengths(texts), verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    pairs = wrapper([("a", "bb"), ("ccc", "d")])
    assert pairs.shape == (2, 2)
    raw = KerasModelWrapper(network, lengths, from_logits=False)(["a"])
    np.testing.assert_allclose(raw, network.predict(lengths(["a"]), verbose=0))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"\(B, C\), C > 1.*\(4, 1\)"):
        KerasModelWrapper(model(1), lengths)(["a"])
    with pytest.raises(ValueError, match="`texts`"):
        KerasModelWrapper(model(), lengths)([])
    with pytest.raises(TypeError, match="`neighbors`"):
        WordSwapAttack(["good"])
    with pytest.raises(ValueError, match="`max_perturbed`"):
        CharacterAttack(max_perturbed=0.0)
    with pytest.raises(TypeError, match="`stop_words`"):
        CharacterAttack(stop_words=None)
    with pytest.raises(TypeError, match="`neighbors`"):
        WordSwapAttack({1: ["good"]})
    for texts in (["a", "b"], None, (x for x in "a")):
        with pytest.raises(ValueError, match=r"sequences, .* Received: .*, \[1\]"):
            measure_robustness(classifier, texts, [1], CharacterAttack())
    with pytest.raises(ValueError, match="`texts` must have .*nan at 1"):
        measure_robustness(classifier, ["a", float("nan")], [1, 1], CharacterAttack())
    for attack in ("char", CharacterAttack):
        with pytest.raises(TypeError, match="`attack` must be a WordAttack"):
            measure_robustness(classifier, ["a"], [1], attack)
    with pytest.raises(TypeError, match="`model` must be .*None"):
        measure_robustness(None, ["a"], [1], CharacterAttack())


def test_callables_of_wrong_lengths():
    near = {"good": ["fine", "nice"]}
    swaps = WordSwapAttack(near, similarity=lambda *_: [1.0])
    with pytest.raises(ValueError, match=r"`similarity` must return.*\(2,\)"):
        attacked(swaps, "A good film")
    swaps = WordSwapAttack(near, part_of_speech=lambda words: ["N"])
    with pytest.raises(ValueError, match="`part_of_speech` must return a tag"):
        attacked(swaps, "A good film")


def test_a_model_of_keras_hub_is_called_with_little_padding(monkeypatch):
    pytest.importorskip("keras_nlp")
    network = small_classifiers.plain_classifier(sequence_length=32)
    wrapper, shapes = KerasModelWrapper(network), []
    original = wrapper.model.predict_on_batch

    def predict(inputs):
        shapes.append(inputs["token_ids"].shape)
        return original(inputs)

    monkeypatch.setattr(wrapper.model, "predict_on_batch", predict)
    texts = ["a film", "good " * 20, "bad", "the plot", "nice"]
    for batch in (texts, texts[:1], [(text, "not " * 8) for text in texts]):
        found = wrapper(batch)
        columns = np.array(batch, object)
        if not isinstance(batch[0], str):
            columns = tuple(np.array(x, object) for x in zip(*batch, strict=True))
        logits = network(network.preprocessor(columns, None))
        logits = keras.ops.convert_to_numpy(logits)
        expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert shapes == [(8, 24), (4, 16), (8, 32)]


def test_similarity_of_a_backbone_is_that_of_its_mean_outputs():
    pytest.importorskip("keras_nlp")
    network = small_classifiers.plain_classifier(sequence_length=32)
    backbone, preprocessor = network.backbone, network.preprocessor
    similarity = EncoderSimilarity.from_backbone(backbone, preprocessor)
    texts = ["the good film", "the bad film", "not " * 20]
    vectors = []
    for text in texts:
        inputs = preprocessor(np.array([text], object))
        outputs = keras.ops.convert_to_numpy(backbone(inputs)["sequence_output"])
        mask = keras.ops.convert_to_numpy(inputs["padding_mask"])
        vectors.append(outputs[mask].mean(axis=0))
    unit = np.array(vectors) / np.linalg.norm(vectors, axis=-1, keepdims=True)
    found = similarity(texts[0], texts)
    np.testing.assert_allclose(found, unit @ unit[0], atol=1e-5)
    assert found[0] > found[1] + 1e-3


@pytest.mark.parametrize("content", ["{}", "{}\n", '{"my": 1}\nmore', "\x00\n"])
def test_a_file_that_is_no_log_is_kept(tmp_path, content):
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="`log` must be"):
        measure_robustness(
            classifier, TEXTS, LABELS, CharacterAttack(), log=file, verbose=0
        )
    assert file.read_text() == content


def test_a_header_that_was_cut_off_is_written_again(tmp_path):
    log, options = tmp_path / "log", {"verbose": 0}
    attack = CharacterAttack(max_perturbed=np.float32(0.5))
    first = measure_robustness(classifier, TEXTS, LABELS, attack, log=log, **options)
    whole = log.read_text()
    log.write_text(whole[:30])
    seed = np.int64(0)
    again = measure_robustness(classifier, TEXTS, LABELS, attack, seed, log, **options)
    assert again == first and log.read_text() == whole


def test_other_neighbours_are_other_settings():
    one, two = WordSwapAttack({"good": ["bad"]}), WordSwapAttack({"good": ["dull"]})
    assert one.settings() != two.settings()
    assert one.settings() == WordSwapAttack({"Good": ("bad",)}).settings()


@pytest.mark.parametrize("labels", [[-1, 0, 0, 1, 0], [0.5] * 5, ["1"] * 5, [7] * 5])
def test_labels_are_classes_of_the_model(labels):
    with pytest.raises(ValueError, match=r"`labels` must be integers in \[0, 2\)"):
        measure_robustness(classifier, TEXTS, labels, CharacterAttack())


def test_a_model_that_says_no_number():
    def diverged(texts):
        return np.full((len(texts), 2), np.nan)

    with pytest.raises(ValueError, match="`model` must give finite probabilities"):
        measure_robustness(diverged, TEXTS, LABELS, CharacterAttack())
    with pytest.raises(ValueError, match=r"of the shape \(1, C\), C > 1"):
        attacked(CharacterAttack(), "good", predict=lambda texts: np.ones((1, 1)))
    with pytest.raises(ValueError, match="`texts` and `labels` must be sequences"):
        measure_robustness(classifier, "good", [1] * 4, CharacterAttack())


def test_a_log_keeps_any_text(tmp_path):
    texts, log = ["one\u2028two\x85three good", "\u00fcber good"], tmp_path / "log"
    swaps = WordSwapAttack({"good": ["bad"]})
    first = measure_robustness(classifier, texts, [1, 1], swaps, log=log, verbose=0)
    with log.open("ab") as stream:
        stream.write('{"text": "\u00fc'.encode()[:-1])  # cut off in a character
    again = measure_robustness(classifier, texts, [1, 1], swaps, log=log, verbose=0)
    assert again == first and first.examples[0]["text"] == texts[0]


@pytest.mark.backends("tensorflow")
def test_a_model_that_takes_texts():
    words = keras.layers.TextVectorization(vocabulary=["good", "bad"])
    inputs = keras.Input((), dtype="string")
    embedded = keras.layers.Embedding(4, 2)(words(inputs))
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(embedded))
    found = KerasModelWrapper(network)(["good film", "bad", "good bad"])
    assert found.shape == (3, 2) and np.ptp(found) > 1e-4


def test_a_given_preprocessor_takes_the_place_of_that_of_keras_hub():
    pytest.importorskip("keras_nlp")
    network = small_classifiers.plain_classifier(sequence_length=32)
    calls = []

    def preprocessor(texts):
        calls.append(texts)
        return network.preprocessor(np.array(texts, object))

    own = KerasModelWrapper(network, preprocessor)(["good film"])
    np.testing.assert_allclose(own, KerasModelWrapper(network)(["good film"]))
    assert calls == [["good film"] * 4]


def test_pairs_of_a_model_without_its_preprocessor():
    pytest.importorskip("keras_nlp")
    network = small_classifiers.plain_classifier(sequence_length=32)
    functional = keras.Model(network.input, network.output)
    pairs = [("good film", "the plot"), ("bad", "a film")]
    found = KerasModelWrapper(functional, network.preprocessor)(pairs)
    np.testing.assert_allclose(found, KerasModelWrapper(network)(pairs))


def test_padding_is_kept_where_a_model_wants_one_length():
    inputs = {
        name: keras.Input((32,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    embedded = keras.layers.Embedding(9, 2)(inputs["token_ids"])
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(embedded))

    def preprocessor(texts):
        ids = np.zeros((len(texts), 32), "int32")
        ids[:, :2] = 3
        return {"token_ids": ids, "padding_mask": ids > 0}

    wrapper = KerasModelWrapper(keras.Model(inputs, outputs), preprocessor)
    assert wrapper(["a", "b"]).shape == (2, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CharacterAttack(stop_words="the"), "`stop_words` must be an iterable"),
        (lambda: CharacterAttack(parts=1), "`parts` must be a tuple of int"),
        (lambda: CharacterAttack(parts=()), "`parts` must be a tuple of int"),
        (lambda: CharacterAttack(similarity=0.5), "`similarity` must be a callable"),
        (lambda: WordSwapAttack({"good": "bad"}), "`neighbors` must map .*'bad'"),
        (lambda: WordSwapAttack({"good": [1]}), "`neighbors` must map .*1"),
        (lambda: KerasModelWrapper(None), "`model` must be a keras.Model"),
    ],
)
def test_wrong_types_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_parts_that_are_not_there():
    with pytest.raises(ValueError, match=r"`parts` must be numbers of the 2 texts"):
        attacked(CharacterAttack(parts=(2,)), ("good", "film"))


def test_a_similarity_leaves_what_encode_returns():
    vectors = np.array([[3.0, 4.0], [0.0, 2.0]])
    found = EncoderSimilarity(lambda texts: vectors)("a", ["b"])
    np.testing.assert_allclose(found, [0.8])
    assert vectors[0, 0] == 3.0


def test_lengths_are_few():
    mask = np.zeros((2, 300), bool)
    ends = set()
    for length in range(301):
        mask[1, :length] = True
        inputs = {"padding_mask": mask, "token_ids": mask * 1, "n": np.arange(2)}
        cut = cut_padding(inputs)
        ends.add(cut["token_ids"].shape[1])
        assert length <= cut["padding_mask"].shape[1] <= max(16, 1.5 * length)
        assert cut["n"].shape == (2,)
    assert ends == {16, 24, 32, 48, 64, 96, 128, 192, 256, 300}
    assert cut_padding(mask) is mask
