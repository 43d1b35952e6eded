"""`predict_saved_model.py`: what it reads, and how it refuses other input."""

import io
import json
import sys
import types

import predict_saved_model
import pytest
import served_toy

pytestmark = pytest.mark.backends("tensorflow")

TOY = "schlecht", "gut ✓"


def ask(monkeypatch, *arguments, stdin=b""):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(stdin)))
    predict_saved_model.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "--json expects a list of strings as JSON on standard input: Expecting"),
        (b"a fine film", "standard input: Expecting value"),
        (b'["a"', "standard input: Expecting ',' delimiter"),
        (b'["a"] []', "standard input: Extra data"),
        (b'["\xe9"]', "standard input: 'utf-8' codec can't decode byte 0xe9"),
        (b"[" * 100_000, "standard input: maximum recursion depth exceeded"),
        (b"[" + b"9" * 5000 + b"]", "standard input: Exceeds the limit"),
        (b"[]", "Expected one or more strings of Unicode. Received: texts=[]"),
        (b"null", "Received: texts=None"),
        (b"NaN", "Received: texts=nan"),
        (b'"a fine film"', "Received: texts='a fine film'"),
        (b'{"texts": ["a"]}', "Received: texts={'texts': ['a']}"),
        (b'["a", 1]', "Received: texts[1]=1"),
        (b'["a", null]', "Received: texts[1]=None"),
        (b'[["a"]]', "Received: texts[0]=['a']"),
        (b'["\\ud800"]', r"Received: texts[0]='\ud800'"),
        (b"[[" + b"1," * 999 + b"1]]", "Received: texts[0]=[1, 1, 1, 1, 1, 1, ...]"),
    ],
)
def test_json_that_is_refused(monkeypatch, capsys, stdin, message):
    with pytest.raises(SystemExit) as ended:
        ask(monkeypatch, "exported", "--json", stdin=stdin)
    assert ended.value.code == 2
    *_, last = capsys.readouterr().err.strip().split("\n")
    assert "error: " in last and message in last


def test_no_texts_or_no_model(monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        ask(monkeypatch, "exported")
    assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        ask(monkeypatch, tmp_path / "none", "a fine film")
    assert ended.value.code == 1
    assert "is not a folder, an exported model" in capsys.readouterr().err


def test_json_that_is_answered(monkeypatch, capsys, tmp_path):
    folder = served_toy.save(tmp_path)
    ask(monkeypatch, folder, "--json", stdin='["é", "\\ud83d\\ude00"]'.encode())
    answers = json.loads(capsys.readouterr().out)
    assert [sorted(answer["probabilities"]) for answer in answers] == [sorted(TOY)] * 2
    assert all(answer["label"] in TOY for answer in answers)
