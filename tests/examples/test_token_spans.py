"""Tokens of whole texts and their characters, for each kind of tokenizer."""

import io

import keras
import numpy as np
import pytest
import token_spans
import windows
from hypothesis import given
from hypothesis import strategies as st

keras_nlp = pytest.importorskip("keras_nlp")
LEFT_OUT = " \n\x85\u200b\u0301"  # white space, controls and a lone accent
TEXT = (
    "It's (1990)... don't!! naïve café 3.14% cafe\u0301, £100  a≠b x\xa0y 日本\n½ ﬁne "
    "😀 क्षि \u200bso "
)
NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMES += ["it", "1990", "do", "##n", "t", "na", "##ive", "cafe", "£", "##100", "fine"]
NAMES += ["日", "so", *"s'().!a=b3,", "14", "%"]
MERGES = "I t|' s|. .|.. .|Ġ 3|Ġ (|c a|f e|Ġ ca|Ċ Â|! !"


def word_piece(**options):
    names = [*NAMES, "It", "naïve", "café", "a≠b"]
    return keras_nlp.models.BertTokenizer(names, **options)


def byte_pair(kind=keras_nlp.tokenizers.BytePairTokenizer, **options):
    merges = MERGES.split("|")
    names = ["<s>", "<pad>", "</s>", "<mask>", *token_spans.byte_names()]
    names += [merge.replace(" ", "") for merge in merges]
    vocabulary = {name: number for number, name in enumerate(names)}
    return kind(vocabulary=vocabulary, merges=merges, **options)


def sentence_piece(kind=keras_nlp.models.AlbertTokenizer):
    written = io.BytesIO()
    marks = {"pad_piece": "<pad>", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    trainer.train(
        sentence_iterator=iter([*TEXT.splitlines(), "it is so fine"] * 3),
        model_writer=written,
        vocab_size=70,
        hard_vocab_limit=False,
        minloglevel=2,
        user_defined_symbols="[MASK]",
        **{"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3},
        **marks,
    )
    return kind(written.getvalue())


TOKENIZERS = {
    "bert": lambda: word_piece(lowercase=True, strip_accents=True),
    "bert, accents": lambda: word_piece(lowercase=True),
    "bert, cased": lambda: word_piece(split_on_cjk=False),
    "roberta": lambda: byte_pair(keras_nlp.models.RobertaTokenizer),
    "gpt2": lambda: byte_pair(unsplittable_tokens=["</s>"]),
    "prefix": lambda: byte_pair(add_prefix_space=True),
    "graph": lambda: byte_pair(_allow_python_workflow=False),
    "albert": sentence_piece,
    "xlm": lambda: sentence_piece(keras_nlp.models.XLMRobertaTokenizer),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    if request.param == "graph":
        pytest.importorskip("tensorflow_text")
    return TOKENIZERS[request.param]()


def check(tokenizer, read, text):
    """The tokens are those of the text, in order, and no letter is between them."""
    tokens, spans = read(text)
    assert tokens == [int(token) for token in np.asarray(tokenizer(text))]
    assert len(tokens) == len(spans)
    end = 0
    for first, last in spans:
        assert 0 <= first <= last <= len(text)
        assert not text[end:first].strip(LEFT_OUT)
        end = max(end, last)
    assert not text[end:].strip(LEFT_OUT)


def test_tokens_are_those_of_the_whole_text(tokenizer):
    check(tokenizer, token_spans.reader_of(tokenizer), TEXT)


@given(st.text("It's. !(19£é\u0301日½≠x\n\xa0\x85😀", min_size=1, max_size=12))
def test_tokens_of_any_text(tokenizer, text):
    if text.strip():
        check(tokenizer, token_spans.reader_of(tokenizer), text)


def parts(tokenizer, text=TEXT):
    spans = token_spans.reader_of(tokenizer)(text)[1]
    return [text[slice(*span)] for span in spans]


def test_parts_of_a_text():
    found = parts(word_piece(lowercase=True, strip_accents=True))
    wanted = (
        "It ' s ( 1990 ) . . . do n ' t ! ! na ïve café 3 . 14 % cafe\u0301 , £ 100"
    )
    assert " ".join(found) == wanted + " a ≠ b x\xa0y 日 本 ½ ﬁne 😀 क्षि so"
    found = parts(byte_pair())
    assert found[:3] == ["It", "'s", " ("] and found[7:9] == [")", "..."]
    assert found.count("😀") == 4 and " ca" in found  # one for each byte
    found = parts(sentence_piece(), "it's £100 ½")
    assert "".join(found).replace(" ", "") == "it's£100½"


def test_answers_are_of_whole_words():
    text = "It's (1990)...  £100"
    found = windows.Text(text, token_spans.reader_of(byte_pair()))
    answers = [found.between(k, k) for k in range(len(found.tokens))]
    assert answers[:3] == ["It", "'s", "("] and answers[3:7] == ["1990"] * 4
    assert answers[7:9] == [")", "..."] and answers[-3:] == ["100"] * 3
    assert set(answers[9:-3]) == {"£"}  # its bytes, and white space in front
    assert found.tokens_of(6, 10) == (3, 6)
    for blank in ("", " \n "):
        assert windows.Text(blank, token_spans.reader_of(byte_pair())).tokens == []


@pytest.mark.parametrize("kind", ["Roberta", "Albert"])
def test_windows_of_other_tokenizers(kind):
    tokenizer = TOKENIZERS[kind.lower()]()
    preprocessor = getattr(keras_nlp.models, f"{kind}TextClassifierPreprocessor")
    found = windows.Windows(preprocessor(tokenizer), ["It's so"], [TEXT], 512)
    preprocessor = preprocessor(tokenizer, sequence_length=512)
    inputs = preprocessor((["It's so"], [TEXT]), None)
    ids = keras.ops.convert_to_numpy(inputs["token_ids"])
    np.testing.assert_array_equal(found.inputs["token_ids"], ids)
    span = TEXT.index("café"), TEXT.index("%")
    targets = found.targets([span])
    first, last = (targets[name][0] - found.windows[0].begin for name in targets)
    assert found.texts[0].between(first, last) == TEXT[slice(*span)]


def test_words_that_tokens_do_not_spell(monkeypatch):
    reader = token_spans.reader_of(word_piece(lowercase=True, strip_accents=True))
    monkeypatch.setattr(token_spans, "_fold", lambda plain: plain)
    text = "a (It's) ."
    spans = reader(text)[1]
    assert [text[slice(*span)] for span in spans] == ["a", *["(It's)"] * 5, "."]


def test_what_is_refused():
    other = keras_nlp.tokenizers.ByteTokenizer()
    with pytest.raises(ValueError, match=r"`tokenizer` must be.*: ByteTokenizer"):
        token_spans.reader_of(other)
    spaced = word_piece(special_tokens=["it so"], special_tokens_in_strings=True)
    spaced.set_vocabulary([*NAMES, "it so"])
    with pytest.raises(ValueError, match="BertTokenizer were not found.*'it so'"):
        token_spans.reader_of(spaced)("it so")


@pytest.mark.parametrize("made", [byte_pair, sentence_piece])
def test_tokens_that_are_not_in_the_text(made, monkeypatch):
    read = token_spans.reader_of(made())
    monkeypatch.setattr(token_spans, "tokenize", lambda *_: [[9, 10, 11]])
    with pytest.raises(ValueError, match="were not found in the text 'so'"):
        read("so")
