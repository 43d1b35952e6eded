"""Windows, spans and the official measures, against direct forms."""

import json

import answers
import keras
import numpy as np
import pytest
import span_runs
import squad
import squad_data
import windows
from extractive_question_answerer import ExtractiveQuestionAnswerer, predict
from hypothesis import given
from hypothesis import strategies as st

import keras_align

keras_nlp = pytest.importorskip("keras_nlp")
TEXT = "The good film, with a nice plot. The bad film: poor plot!  Good."


@pytest.fixture(scope="module")
def preprocessor(tiny_preset):
    return keras_nlp.models.TextClassifierPreprocessor.from_preset(str(tiny_preset))


@pytest.mark.parametrize("length", [14, 20, 64])
@pytest.mark.parametrize("stride", [1, 3, 16])
def test_windows_hold_every_token_and_question(preprocessor, length, stride):
    asked = ["good plot", "the bad nice film"]
    found = windows.Windows(preprocessor, asked, [TEXT, TEXT], length, stride)
    tokenizer = preprocessor.tokenizer
    for number in (0, 1):
        question = list(map(int, tokenizer(asked[number])))
        text = found.texts[number]
        assert text.tokens == list(map(int, tokenizer(TEXT)))
        seen = set()
        for row, window in enumerate(found.windows):
            if window.question != number:
                continue
            inputs = {name: array[row] for name, array in found.inputs.items()}
            end = inputs["padding_mask"].sum()
            ids = inputs["token_ids"][:end].tolist()
            begin, size = window.first, window.size
            marks = tokenizer.start_token_id, tokenizer.end_token_id
            assert ids == [
                marks[0], *question, marks[1], *text.tokens[begin : begin + size],
                marks[1],
            ]  # fmt: skip
            assert (window.begin, window.end) == (len(question) + 2, end - 1)
            assert inputs["segment_ids"].sum() == size + 1
            seen |= set(range(begin, begin + size))
        assert seen == set(range(len(text.tokens)))


def test_no_room_for_the_text(preprocessor):
    with pytest.raises(ValueError, match=r"`sequence_length` must leave room.*: 6"):
        windows.Windows(preprocessor, ["the good film"], [TEXT], sequence_length=6)


def test_rows_are_those_of_the_preprocessor(preprocessor):
    asked, text = ["good plot"], ["the bad film, with a plot"]
    found = windows.Windows(preprocessor, asked, text, sequence_length=32)
    preprocessor.sequence_length = 32
    wanted = preprocessor((asked, text), None)
    for name, array in found.inputs.items():
        np.testing.assert_array_equal(array, keras.ops.convert_to_numpy(wanted[name]))


@pytest.mark.parametrize("answer", ["nice plot", "Good", "film: poor", "The good film"])
def test_targets_are_where_the_answer_is(preprocessor, answer):
    start = TEXT.index(answer)
    found = windows.Windows(preprocessor, ["the plot"], [TEXT], 16, stride=2)
    targets = found.targets([(start, start + len(answer))])
    whole = 0
    for row, window in enumerate(found.windows):
        first, last = targets["start"][row], targets["end"][row]
        if last == 0:
            assert first == 0
            continue
        whole += 1
        ends = [place - window.begin + window.first for place in (first, last)]
        assert found.texts[0].between(*ends) == answer
    assert 0 < whole < len(found.windows)
    none = found.targets([None])
    assert not none["start"].any() and not none["end"].any()


def test_the_best_span_is_found_in_any_window(preprocessor):
    found = windows.Windows(
        preprocessor, ["the plot"] * 2, [TEXT, "good"], 16, stride=4
    )
    rng = np.random.default_rng(0)
    shape = found.inputs["token_ids"].shape
    logits = {
        name: rng.normal(size=shape).astype("float32") for name in ("start", "end")
    }
    best = answers.find_answers(found, logits, n_best=20, longest=3)
    for number in (0, 1):
        scores, nulls = {}, []
        for row, window in enumerate(found.windows):
            if window.question != number:
                continue
            nulls.append(logits["start"][row, 0] + logits["end"][row, 0])
            for i in range(window.begin, window.end):
                for j in range(i, min(i + 3, window.end)):
                    score = logits["start"][row, i] + logits["end"][row, j]
                    before = window.begin - window.first
                    text = found.texts[number].between(i - before, j - before)
                    scores[text] = max(score, scores.get(text, -np.inf))
        ranked = sorted(scores, key=scores.get, reverse=True)[:20]
        assert [each.text for each in best[number].best] == ranked
        np.testing.assert_allclose(
            [each.score for each in best[number].best],
            [scores[text] for text in ranked],
            rtol=1e-5,
        )
        assert sum(each.probability for each in best[number].best) == pytest.approx(1.0)
        assert best[number].null_score == pytest.approx(min(nulls))
    margin = best[0].margin
    assert best[0].text(margin) == best[0].best[0].text
    assert best[0].text(np.nextafter(margin, -np.inf)) == ""


# By the official script evaluate-v2.0.py.
@pytest.mark.parametrize(
    ("predicted", "references", "exact", "f1"),
    [
        ("The Cat!", ["a cat", "dogs"], 1.0, 1.0),
        ("the black cat", ["cat", "black dog cat"], 0.0, 0.8),
        ("in 1990", ["1990"], 0.0, 2 / 3),
        ("", [], 1.0, 1.0),
        ("cat", [], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("cat cat", ["cat"], 0.0, 2 / 3),
        ("10,000", ["10000"], 1.0, 1.0),
        ("the", ["a"], 1.0, 1.0),
    ],
)
def test_official_measures(predicted, references, exact, f1):
    assert answers.exact_match(predicted, references) == exact
    assert answers.f1(predicted, references) == pytest.approx(f1)


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.booleans()), min_size=1)
)
def test_the_best_threshold_is_that_of_all(drawn):
    found = [
        answers.Answers([answers.Answer("cat" if right else "dog", 0.0)], float(margin))
        for margin, right, _ in drawn
    ]
    wanted = [["cat"] if has else [] for _, _, has in drawn]
    best = answers.evaluate(found, wanted, answers.best_threshold(found, wanted))["f1"]
    every = [answers.evaluate(found, wanted, t)["f1"] for t in (-9, *range(-3, 4), 9)]
    assert best == pytest.approx(max(every))


def test_no_pair_of_the_best_is_a_span(preprocessor):
    found = windows.Windows(preprocessor, ["the plot"], ["good film"], 16)
    start, end = np.zeros((2, 1, 16), "float32")
    start[0, found.windows[0].begin + 1] = end[0, found.windows[0].begin] = 1.0
    logits = {"start": start, "end": end}
    (answer,) = answers.find_answers(found, logits, n_best=1)
    assert answer.best == [] and answer.margin == np.inf and answer.text() == ""
    (answer,) = answers.find_answers(found, logits, n_best=2)
    assert {each.text for each in answer.best} == {"good", "film"}


class GivenRuns(span_runs.SpanRuns):
    """Runs without a model, whose answers are given."""

    def __init__(self, task, given):
        self.task, self.given = task, given

    def answers(self, questions):
        return self.given


def test_scores_with_and_without_a_best_threshold():
    given = [
        (["black cat"], "cat", 0.5),
        (["black cat"], "cat", 0.6),
        (["black cat"], "cat", 1.0),
        ([], "dog", -2.0),
        ([], "dog", 3.0),
    ]
    questions = [
        squad_data.Question("which?", TEXT, wanted, None) for wanted, _, _ in given
    ]
    found = [answers.Answers([answers.Answer(x, 0.0)], m) for _, x, m in given]
    task = span_runs.SpanTask("SQuAD v2.0", [], {"v2.0": questions})
    # At 0 the fourth question is answered, at 1.0 all but the last, and best for the
    # exact match is to answer none. The F1 of "cat" is 2/3.
    assert GivenRuns(task, found).test(None)["v2.0"] == pytest.approx(
        {"exact_match": 1 / 5, "f1": 1 / 5, "best_exact_match": 2 / 5, "best_f1": 3 / 5}
    )
    task = span_runs.SpanTask("SQuAD v1.1", [], {"v1.1": questions[:3]})
    assert GivenRuns(task, found[:3]).test(None)["v1.1"] == pytest.approx(
        {"exact_match": 0.0, "f1": 2 / 3}
    )


def write_squad(file, count, impossible=False):
    asked = []
    for k in range(count):
        answer = {"text": "bad film", "answer_start": TEXT.index("bad film")}
        entry = {"id": str(k), "question": f"the plot {k}", "answers": [answer]}
        if impossible and k % 2:
            entry |= {"answers": [], "is_impossible": True}
        asked.append(entry)
    data = [{"title": "t", "paragraphs": [{"context": TEXT, "qas": asked}]}]
    file.write_text(json.dumps({"version": "1.1", "data": data}))


def test_questions_are_read(tmp_path):
    file = tmp_path / "dev-v2.0.json"
    write_squad(file, 6, impossible=True)
    found = squad_data.read(file)
    assert sorted(bool(each.answers) for each in found) == [False] * 3 + [True] * 3
    for each in found:
        assert (each.span is None) == (not each.answers)
        assert not each.span or TEXT[slice(*each.span)] == each.answers[0]
    assert squad_data.read(file, 2) == found[:2]
    moved = file.read_text().replace('"answer_start": ', '"answer_start": 9')
    for content in ("{}", "[1]", '{"data": [{"paragraphs": [1]}]}', moved):
        file.write_text(content)
        with pytest.raises(ValueError, match="form of SQuAD's files"):
            squad_data.read(file)
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="dev-v2.0.json to hold text in UTF-8"):
        squad_data.read(file)
    with pytest.raises(ValueError, match="train-v1.1.json in the folder"):
        squad_data.find(tmp_path, "train-v1.1.json")


def test_a_saved_answerer_gives_the_same_logits(tmp_path, tiny_preset, preprocessor):
    model = ExtractiveQuestionAnswerer.from_preset(str(tiny_preset), dropout=0.3)
    found = windows.Windows(model.preprocessor, ["plot"], [TEXT], sequence_length=32)
    expected = predict(model, found.inputs)
    assert expected["start"].shape == (1, 32) and np.ptp(expected["start"][0, :9]) > 0
    model.save_to_preset(str(tmp_path / "preset"))
    loaded = ExtractiveQuestionAnswerer.from_preset(str(tmp_path / "preset"))
    assert loaded.dropout == 0.3
    model.save(tmp_path / "model.keras")
    for other in (loaded, keras.saving.load_model(tmp_path / "model.keras")):
        again = predict(other, found.inputs)
        for name in ("start", "end"):
            np.testing.assert_allclose(again[name], expected[name], atol=1e-6)
    fresh = ExtractiveQuestionAnswerer.from_preset(str(tiny_preset))
    assert (
        np.abs(predict(fresh, found.inputs)["start"] - expected["start"]).max() > 1e-4
    )


@pytest.mark.backends("tensorflow")
@pytest.mark.filterwarnings("ignore")  # of TensorFlow, about its own savers
def test_an_exported_answerer_gives_the_same_logits(tmp_path, tiny_preset):
    import tensorflow as tf

    model = ExtractiveQuestionAnswerer.from_preset(str(tiny_preset))
    keras_align.align_model(model, "mmd")
    found = windows.Windows(model.preprocessor, ["plot"], [TEXT], sequence_length=32)
    expected = predict(model, found.inputs)
    model.export(str(tmp_path / "exported"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    again = served.serve({k: tf.cast(x, "int32") for k, x in found.inputs.items()})
    for name in ("start", "end"):
        np.testing.assert_allclose(again[name], expected[name], atol=1e-6)


def test_logits_do_not_depend_on_padding(tiny_preset):
    model = ExtractiveQuestionAnswerer.from_preset(str(tiny_preset))
    asked, texts = ["plot", "good film with"], [TEXT, "bad film"]
    found = windows.Windows(model.preprocessor, asked, texts, sequence_length=32)
    whole = predict(model, found.inputs)
    cut = predict(model, found.inputs, buckets=[8, 16, 24, 32])
    mask = found.inputs["padding_mask"]
    for name in ("start", "end"):
        np.testing.assert_allclose(whole[name][mask], cut[name][mask], atol=1e-5)
        assert (whole[name][~mask] <= -1e4).all() and (cut[name][~mask] <= -1e4).all()


def test_a_backbone_without_segments():
    tokenizer = keras_nlp.models.RobertaTokenizer(
        vocabulary={
            name: number
            for number, name in enumerate(
                ("<s>", "<pad>", "</s>", "\u0120a", "a", "<mask>", "\u0120")
            )
        },
        merges=["\u0120 a"],
    )
    backbone = keras_nlp.models.RobertaBackbone(7, 1, 2, 8, 8, max_sequence_length=16)
    preprocessor = keras_nlp.models.RobertaTextClassifierPreprocessor(tokenizer)
    model = ExtractiveQuestionAnswerer(backbone, preprocessor)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=x.shape) for x in model.get_weights()])
    found = windows.Windows(preprocessor, ["a a", "a"], ["a a a"] * 2, 16)
    assert found.inputs["token_ids"][0, :5].tolist() == [0, 4, 3, 2, 2]
    logits = predict(model, found.inputs)
    inputs = {name: found.inputs[name] for name in ("token_ids", "padding_mask")}
    expected = keras.ops.convert_to_numpy(model(inputs)["start"])
    np.testing.assert_allclose(logits["start"], expected, atol=1e-4)
    assert np.abs(logits["start"][0] - logits["start"][1]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
def test_squad_as_a_whole(tmp_path, tiny_preset, capsys):
    write_squad(tmp_path / "train-v1.1.json", 40)
    write_squad(tmp_path / "dev-v1.1.json", 8)
    write_squad(tmp_path / "dev-v2.0.json", 8, impossible=True)
    arguments = ["--data-dir", tmp_path, "--preset", tiny_preset, "--no-jit"]
    arguments += ["--compare", "untrained,soft,mmd", "--epochs", "40"]
    arguments += ["--batch-size", "8", "--learning-rate", "3e-2"]
    arguments += ["--sequence-length", "32", "--also-test", "dev-v2.0.json"]
    arguments += ["--output", tmp_path / "out"]
    squad.main(list(map(str, arguments)))
    printed = capsys.readouterr().out
    assert "exact match, best threshold, %" in printed
    rows = squad.kept_runs.open_runs(tmp_path / "out" / "runs.csv").rows
    of_v1 = {row["method"]: float(row["f1"]) for row in rows if "v1.1" in row["test"]}
    assert of_v1["soft"] > 0.9 > of_v1["untrained"]  # always the same answer
    of_v2 = {row["method"]: row for row in rows if "v2.0" in row["test"]}
    assert set(of_v2) == {"untrained", "soft", "mmd"}
    for row in of_v2.values():
        for name in ("exact_match", "f1"):
            # Half of the questions have no answer.
            assert float(row[f"best_{name}"]) >= max(float(row[name]), 0.5)
    # All questions are the same words to the model, and all get the right answer.
    assert float(of_v2["soft"]["f1"]) == pytest.approx(of_v1["soft"] / 2)
