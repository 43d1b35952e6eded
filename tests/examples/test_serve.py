"""`examples/serving/serve.py`: right answers, wrong requests, beginning and end."""

import asyncio
import concurrent.futures
import contextlib
import gzip
import importlib
import json
import pathlib
import re
import signal
import socket
import time
from unittest import mock

import httpx
import isolated
import micro_batching
import numpy as np
import pytest
import request_texts
import serve
import served_model
import served_toy
import service
import tensorflow as tf
from hypothesis import assume, given
from hypothesis import strategies as st
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

# Keras's way of saving variables, on NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

JSON = {"Content-Type": "application/json"}
MAX_TEXTS, MAX_CHARACTERS, MAX_BYTES = 20, 30, 4000
LIMITS = "--max-texts", MAX_TEXTS, "--max-characters", MAX_CHARACTERS
LIMITS = *LIMITS, "--max-body-bytes", MAX_BYTES, "--batch-size", 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return served_toy.save(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def direct(folder):
    """What the SavedModel itself answers to texts, as the server writes it."""
    loaded = tf.saved_model.load(str(folder / "saved_model"))

    def predictions(texts):
        texts = tf.constant([text.encode() for text in texts], tf.string)
        outputs = loaded.signatures["serving_default"](text=texts)
        rows = outputs["probabilities"].numpy().tolist()
        return [
            {
                "label": label.decode(),
                "probabilities": dict(zip(served_toy.CLASS_NAMES, row, strict=True)),
            }
            for label, row in zip(outputs["labels"].numpy(), rows, strict=True)
        ]

    return predictions


@pytest.fixture(scope="module")
def server(folder):
    with served_toy.serving(folder, *LIMITS) as server:
        yield server


@pytest.fixture(scope="module")
def strict_server(folder):
    """Little room and little time."""
    few = "--max-texts", 4, "--queue-size", 4, "--timeout", 2, "--batch-wait-ms", 0
    with served_toy.serving(folder, *few) as server:
        yield server


@pytest.fixture
def client(server):
    with connected(server) as client:
        yield client


def connected(server):
    return httpx.Client(base_url=server.url, timeout=20, verify=False, trust_env=False)


def predict(client, *texts):
    response = client.post("/predict", json={"texts": texts})
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def counted(client):
    """The numbers of /metrics."""
    lines = re.findall(
        r"^serve_(\w+?)(?:_total)? (\d+)$", client.get("/metrics").text, re.M
    )
    return {name: int(number) for name, number in lines}


def by_status(server):
    """The responses that /metrics counts, by their status."""
    with connected(server) as client:
        text = client.get("/metrics").text
    assert "# TYPE serve_responses_total counter\n" in text
    found = re.findall(r'^serve_responses_total\{status="(\d+)"\} (\d+)$', text, re.M)
    return {status: int(number) for status, number in found}


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- right answers ----------------------------------------------------------------


def test_predictions(client, direct):
    texts = ["a fine film", "", "zéro \U0001f600", "nul\0", "\0", "\n"]
    assert predict(client, *texts) == direct(texts)
    body = '{"texts": ["\\ud83d\\ude00", "\\u0000"]}'
    response = client.post("/predict", content=body, headers=JSON)
    assert response.json()["predictions"] == direct(["\U0001f600", "\0"])


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", 'Application/JSON;Charset="UTF-8"; v=1'],
)
def test_content_types_that_are_json(client, direct, content_type):
    response = client.post(
        "/predict", content=b'{"texts": ["a"]}', headers={"Content-Type": content_type}
    )
    assert response.json() == {"predictions": direct(["a"])}


def test_the_largest_request(client, direct):
    texts = ["é" * MAX_CHARACTERS] * MAX_TEXTS  # more than one batch
    body = json.dumps({"texts": texts}, ensure_ascii=False).encode().ljust(MAX_BYTES)
    response = client.post("/predict", content=body, headers=JSON)
    assert response.json()["predictions"] == direct(texts)


def test_health_metadata_and_metrics(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.head("/health").status_code == 200
    found = client.get("/metadata").json()
    assert found["model"] == {"name": "toy", "class_names": served_toy.CLASS_NAMES}
    assert found["limits"]["max_body_bytes"] == MAX_BYTES
    before = counted(client)
    predict(client, "a", "b")
    after = counted(client)
    assert after["texts"] == before["texts"] + 2
    assert after["requests"] == before["requests"] + 1
    assert after["waiting_texts"] == 0


# Hypothesis also draws strings that it finds in the tests.
TEXT = st.text(max_size=MAX_CHARACTERS).filter(
    lambda text: not served_toy.COMMANDS.fullmatch(text)
)
TEXTS = st.lists(TEXT, min_size=1, max_size=MAX_TEXTS)


@given(texts=TEXTS)
def test_any_texts_are_answered_as_by_the_model(server, direct, texts):
    with connected(server) as client:
        assert predict(client, *texts) == direct(texts)


BYTES = st.binary(max_size=200) | st.text(max_size=60).map(str.encode)


@given(body=BYTES.filter(lambda body: b"texts" not in body))
def test_any_bytes_are_refused(server, body):
    with connected(server) as client:
        response = client.post("/predict", content=body, headers=JSON)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]


def json_values():
    scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text()
    return st.recursive(
        scalars,
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=5,
    )


@given(value=json_values(), inside=st.booleans())
def test_any_json_is_refused(server, value, inside):
    assume(inside or "texts" not in json.dumps(value))
    body = json.dumps({"texts": [[value]]} if inside else value)
    with connected(server) as client:
        response = client.post("/predict", content=body, headers=JSON)
    assert response.status_code in (400, 413)
    assert list(response.json()) == ["error"]


def test_each_of_many_requests_has_its_own_answer(server, direct, client):
    requests = [[f"{n}: {i}" for i in range(1 + n % 8)] for n in range(50)]
    before = counted(client)

    async def send_all():
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(
            base_url=server.url, timeout=20, limits=limits, trust_env=False
        ) as clients:
            bodies = ({"texts": texts} for texts in requests)
            calls = (clients.post("/predict", json=body) for body in bodies)
            return await asyncio.gather(*calls)

    responses = asyncio.run(send_all())
    for texts, response in zip(requests, responses, strict=True):
        assert response.json() == {"predictions": direct(texts)}
    after = counted(client)
    assert after["texts"] - before["texts"] == sum(map(len, requests))


def test_requests_that_come_together_are_one_call_of_the_model(client, server, direct):
    before = counted(client)
    with concurrent.futures.ThreadPoolExecutor(9) as executor:
        slow = executor.submit(predict_alone, server, "sleep 1.2")
        wait_for(lambda: counted(client)["batches"] > before["batches"])
        quick = [executor.submit(predict_alone, server, f"{n}") for n in range(8)]
        assert [each.result() for each in quick] == [direct([f"{n}"]) for n in range(8)]
        slow.result()
    after = counted(client)
    assert after["requests"] - before["requests"] == 9
    assert after["batches"] - before["batches"] == 2


def predict_alone(server, *texts):
    with connected(server) as client:
        return predict(client, *texts)


def sizes_of_calls(model):
    """Notes from now on how many texts each call of the signature has."""
    sizes, signature = [], model._signature

    def noting(text):
        sizes.append(len(text))
        return signature(text=text)

    model._signature = noting
    return sizes


@pytest.mark.parametrize("pad", ["yes", "auto"])
def test_batches_are_padded_to_powers_of_two(folder, direct, pad):
    model = served_model.ServedModel(folder, 12, pad)
    sizes = sizes_of_calls(model)
    for count in (1, 2, 3, 4, 5, 8, 9, 12, 13):
        texts = [f"text {number}" for number in range(count)]
        rows = model.predict([text.encode() for text in texts])
        assert model.predictions(rows) == direct(texts)
    padded = [1, 2, 4, 4, 8, 8, 12, 12, 13]
    assert sizes == (padded if pad == "yes" else [1, 2, 3, 4, 5, 8, 9, 12, 13])
    assert model.sizes == ([1, 2, 4, 8, 12] if pad == "yes" else [])
    assert served_model.sizes_up_to(1) == [1]
    assert served_model.sizes_up_to(32) == [1, 2, 4, 8, 16, 32]


class OfJax(served_toy.Toy):
    """Holds, in a function that is not called, the operation of exports of JAX."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        def compiled():
            return gen_xla_ops.xla_call_module(
                args=[tf.size(text)],
                version=9,
                module="",
                Sout=[[]],
                Tout=[tf.int32],
                platforms=["CPU"],
            )[0]

        number = tf.cond(tf.size(text) < 0, compiled, lambda: tf.size(text))
        with tf.control_dependencies([number]):
            return super().serve(text)


def test_what_compiles_for_each_size_is_padded(tmp_path):
    served_toy.save(tmp_path, OfJax())
    assert served_model.ServedModel(tmp_path, 8).sizes == [1, 2, 4, 8]
    assert served_model.ServedModel(tmp_path, 8, "no").sizes == []


# --- requests that are not as they should be --------------------------------------

LONG = "x" * (MAX_CHARACTERS + 1)
BODIES = {
    "empty": (b"", 400, "not JSON: Expecting value"),
    "spaces": (b"  \n ", 400, "not JSON: Expecting value"),
    "words": (b"a fine film", 400, "not JSON: Expecting value"),
    "form": (b"texts=a+fine+film", 400, "not JSON: Expecting value"),
    "cut off": (b'{"texts": ["a fi', 400, "Unterminated string"),
    "not closed": (b'{"texts": ["a"]', 400, "Expecting ',' delimiter"),
    "two values": (b'{"texts": ["a"]} {}', 400, "Extra data"),
    "last comma": (b'{"texts": ["a",]}', 400, "not JSON"),
    "single quotes": (b"{'texts': ['a']}", 400, "property name enclosed in double"),
    "comment": (b'{"texts": ["a"]} // a', 400, "Extra data"),
    "raw newline": (b'{"texts": ["a\nb"]}', 400, "Invalid control character"),
    "raw NUL": (b'{"texts": ["a\x00b"]}', 400, "Invalid control character"),
    "NUL at the end": (b'{"texts": ["a"]}\x00', 400, "Extra data"),
    "escape": (b'{"texts": ["\\x41"]}', 400, "Invalid \\escape"),
    "short escape": (b'{"texts": ["\\u12"]}', 400, "Invalid \\uXXXX escape"),
    "byte order mark": (b'\xef\xbb\xbf{"texts": ["a"]}', 400, "byte order mark"),
    "Latin-1": ('{"texts": ["é"]}'.encode("latin-1"), 400, "0xe9 at position 12"),
    "cut UTF-8": (b'{"texts": ["a"]}\xe2\x82', 400, "not UTF-8"),
    "overlong UTF-8": (b'{"texts": ["\xc0\xaf"]}', 400, "0xc0 at position 12"),
    "surrogate in UTF-8": (b'{"texts": ["\xed\xa0\x80"]}', 400, "0xed at position 12"),
    "UTF-16": ('{"texts": ["a"]}'.encode("utf-16"), 400, "0xff at position 0"),
    "UTF-32": ('{"texts": ["a"]}'.encode("utf-32-le"), 400, "not JSON"),
    "gzip without header": (
        gzip.compress(b'{"texts": ["a"]}'),
        400,
        "0x8b at position 1",
    ),
    "NaN": (b'{"texts": NaN}', 400, "it has no NaN"),
    "infinity": (b'{"texts": [-Infinity]}', 400, "it has no -Infinity"),
    "huge integer": (b'{"texts": [' + b"9" * 3900 + b"]}", 400, "is a number"),
    "huge exponent": (b'{"texts": [1e999999]}', 400, "texts[0] is a number"),
    "deep lists": (b"[" * MAX_BYTES, 400, "nested too deeply"),
    "deep objects": (b'{"texts":' * 400, 400, "not JSON"),
    "deep inside": (b'{"texts": [' + b"[" * 1900 + b"]" * 1900 + b"]}", 400, "nested"),
    "same key twice": (b'{"texts": ["a"], "texts": ["b"]}', 400, "'texts' comes twice"),
    "a list": (b'["a"]', 400, "the body is a list, an object"),
    "a string": (b'"a"', 400, "the body is a string, an object"),
    "a number": (b"-0", 400, "the body is a number, an object"),
    "null": (b"null", 400, "the body is null, an object"),
    "true": (b"true", 400, "the body is true, an object"),
    "no key": (b"{}", 400, "the key 'texts' is missing"),
    "another key": (b'{"text": ["a"]}', 400, "unknown key 'text'"),
    "one more key": (b'{"texts": ["a"], "\\ud800": 1}', 400, "key '\\ud800'"),
    "long key": (b'{"' + b"k" * 3000 + b'": 1}', 400, "key 'kkkk"),
    "texts: null": (
        b'{"texts": null}',
        400,
        "texts is null, a list of 1 to 20 strings",
    ),
    "texts: string": (b'{"texts": "a"}', 400, "texts is a string, a list of"),
    "texts: object": (b'{"texts": {"0": "a"}}', 400, "texts is an object, a list of"),
    "texts: number": (b'{"texts": 3}', 400, "texts is a number, a list of"),
    "texts: false": (b'{"texts": false}', 400, "texts is false, a list of"),
    "no texts": (b'{"texts": []}', 400, "texts is empty, 1 to 20 strings"),
    "a text: null": (b'{"texts": ["a", null]}', 400, "texts[1] is null, a string"),
    "a text: number": (b'{"texts": ["a", 1.5]}', 400, "texts[1] is a number, a string"),
    "a text: true": (b'{"texts": [true]}', 400, "texts[0] is true, a string"),
    "a text: list": (b'{"texts": [["a"]]}', 400, "texts[0] is a list, a string"),
    "a text: object": (b'{"texts": [{}]}', 400, "texts[0] is an object, a string"),
    "surrogate": (b'{"texts": ["a\\ud800b"]}', 400, "half of a surrogate pair, U+D800"),
    "low surrogate": (b'{"texts": ["", "\\udc00"]}', 400, "texts[1] has half"),
    "too many": (
        json.dumps({"texts": ["a"] * (MAX_TEXTS + 1)}).encode(),
        *(400, "texts has 21 entries, 1 to 20 strings are allowed"),
    ),
    "too long": (
        json.dumps({"texts": ["a", LONG]}).encode(),
        *(400, "texts[1] is 31 characters long, at most 30 are allowed"),
    ),
    "too large": (
        b'{"texts": ["a"]}'.ljust(MAX_BYTES + 1),
        *(413, "the body has 4001 bytes, at most 4000 are allowed"),
    ),
    "far too large": (b" " * 10**6, 413, "at most 4000 are allowed"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_refused(client, direct, name):
    body, status, message = BODIES[name]
    response = client.post("/predict", content=body, headers=JSON)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert message in response.json()["error"]
    assert len(response.json()["error"]) < 200
    assert predict(client, "still right") == direct(["still right"])


HEADERS = {
    "no type": ({}, "Content-Type is missing, application/json"),
    "text": ({"Content-Type": "text/plain"}, "Content-Type is 'text/plain'"),
    "form": ({"Content-Type": "multipart/form-data; boundary=x"}, "multipart"),
    "similar": ({"Content-Type": "application/jsonp"}, "'application/jsonp'"),
    "empty type": ({"Content-Type": ""}, "Content-Type is ''"),
    "latin-1": ({"Content-Type": "application/json; charset=latin-1"}, "'latin-1'"),
    "UTF-16": ({"Content-Type": 'application/json;a=b;charset="utf-16"'}, "'utf-16'"),
    "gzip": ({**JSON, "Content-Encoding": "gzip"}, "Content-Encoding is 'gzip'"),
    "brotli": ({**JSON, "Content-Encoding": "br"}, "Content-Encoding is 'br'"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_types_that_are_refused(client, direct, name):
    headers, message = HEADERS[name]
    response = client.post("/predict", content=b'{"texts": ["a"]}', headers=headers)
    assert response.status_code == 415
    assert message in response.json()["error"]
    if "Content-Encoding" in headers:
        assert response.headers["Accept-Encoding"] == "identity"
    assert predict(client, "still right") == direct(["still right"])


PLACES = {
    "unknown path": ("POST", "/predictions", 404, "not known: /predict, /health"),
    "root": ("GET", "/", 404, "not known"),
    "slash": ("POST", "/predict/", 404, "not known"),
    "capitals": ("POST", "/Predict", 404, "not known"),
    "up": ("GET", "/../metadata.json", 404, "not known"),
    "get predictions": ("GET", "/predict", 405, "GET, POST is expected"),
    "put": ("PUT", "/predict", 405, "PUT, POST is expected"),
    "delete": ("DELETE", "/predict", 405, "DELETE, POST is expected"),
    "post health": ("POST", "/health", 405, "the method is POST"),
    "own method": ("FROB", "/metadata", 405, "the method is FROB"),
}


@pytest.mark.parametrize("name", PLACES)
def test_paths_and_methods_that_are_refused(client, name):
    method, path, status, message = PLACES[name]
    response = client.request(method, path, content=b'{"texts": ["a"]}', headers=JSON)
    assert response.status_code == status
    assert message in response.json()["error"]
    allowed = {"/predict": {"POST"}}.get(path, {"GET", "HEAD"})
    if status == 405:
        assert set(response.headers["Allow"].split(", ")) == allowed


def head(*lines):
    """The head of a request to /predict."""
    lines = [
        "POST /predict HTTP/1.1",
        "Host: here",
        "Content-Type: application/json",
        *lines,
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


GOOD = b'{"texts": ["a"]}'
CHUNKED, CLOSE = "Transfer-Encoding: chunked", "Connection: close"
HEALTH = b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
NOT_HTTP = "HTTP/1.1 400", "Invalid HTTP request"
RAW = {
    "garbage": ([b"\x16\x03\x01\x02\x00garbage\r\n\r\n"], NOT_HTTP),
    "no version": ([b"POST /predict\r\n\r\n"], NOT_HTTP),
    "no host": ([b"GET /health HTTP/1.1\r\n\r\n"], NOT_HTTP),
    "bad header": ([head("No colon")], NOT_HTTP),
    "endless header": ([head("Long: " + "x" * 70_000)[:-4]], NOT_HTTP),
    "length of words": ([head("Content-Length: some"), GOOD], NOT_HTTP),
    "negative length": ([head("Content-Length: -1"), GOOD], NOT_HTTP),
    "two lengths": ([head("Content-Length: 16", "Content-Length: 17"), GOOD], NOT_HTTP),
    "bad chunk": ([head(CHUNKED), b"zz\r\n", GOOD], NOT_HTTP),
    "bad end of a chunk": ([head(CHUNKED), b"3\r\nabcdef\r\n"], NOT_HTTP),
    "unknown coding": ([head("Transfer-Encoding: gzip"), GOOD], ("HTTP/1.1 400", "")),
    "large chunks": (
        [head(CHUNKED, CLOSE), *[b"400\r\n" + b" " * 1024 + b"\r\n"] * 9, b"0\r\n\r\n"],
        ("HTTP/1.1 413", "more bytes than the 4000"),
    ),
    "length that lies": (
        [
            head("Content-Length: 2", CHUNKED, CLOSE),
            b"1388\r\n" + b" " * 5000 + b"\r\n",
        ],
        ("HTTP/1.1 413", "more bytes than the 4000"),
    ),
    "large, on demand": (
        [head("Content-Length: 5000", "Expect: 100-continue", CLOSE)],
        ("HTTP/1.1 413", "the body has 5000 bytes"),
    ),
    "huge length": (
        [head("Content-Length: 99999999999999999999", CLOSE)],
        ("HTTP/1.1 413", "at most 4000"),
    ),
    "two types": (
        [head("Content-Type: text/plain", "Content-Length: 16", CLOSE), GOOD],
        ("HTTP/1.1 415", "Content-Type came 2 times"),
    ),
    "length too short": (
        [head("Content-Length: 9", CLOSE), GOOD],
        ("HTTP/1.1 400", "Expecting"),
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_bytes_that_are_refused(server, client, direct, name):
    parts, expected = RAW[name]
    answer = server.exchange(*parts)
    for part in expected:
        assert part in answer
    assert predict(client, "still right") == direct(["still right"])


def test_a_body_that_is_cut_off_is_forgotten(server, client, direct):
    before = counted(client)["requests"]
    assert server.exchange(head("Content-Length: 99"), GOOD, shut=True) == ""
    assert server.exchange(head(CHUNKED), b"20\r\n", GOOD, shut=True) == ""
    assert server.exchange(head()[:30], shut=True) == ""
    assert counted(client)["requests"] == before
    assert predict(client, "still right") == direct(["still right"])


def test_a_connection_goes_on_after_a_refused_body_that_was_read(server):
    good = head("Content-Length: 16", CLOSE) + GOOD
    for refused, statuses in ((b" " * 5000, ["413"]), (b"[]", ["400", "200"])):
        first = head(f"Content-Length: {len(refused)}") + refused
        answer = server.exchange(first + good)
        assert re.findall("HTTP/1.1 ([0-9]+)", answer) == statuses
        if statuses == ["413"]:
            assert "\r\nconnection: close" in answer.lower()
    answer = server.exchange(good.replace(b"close", b"keep-alive") + b"garbage\r\n\r\n")
    assert re.findall("HTTP/1.1 ([0-9]+)", answer) == ["200", "400"]


UNREAD = {
    "huge": (head("Content-Length: 99999999"), 413),
    "huge, on demand": (head("Content-Length: 5000", "Expect: 100-continue"), 413),
    "chunks": (head(CHUNKED) + b"1388\r\n" + b" " * 5000 + b"\r\n", 413),
    "compressed": (head("Content-Length: 99", "Content-Encoding: gzip"), 415),
    "two types": (head("Content-Length: 99", "Content-Type: text/plain"), 415),
    "path": (head("Content-Length: 99").replace(b"predict", b"nothing"), 404),
    "method": (head("Content-Length: 99").replace(b"POST", b"PUT"), 405),
    "health": (
        head("Content-Length: 99").replace(b"POST /predict", b"GET /health"),
        200,
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_an_answer_before_the_body_ends_the_connection(server, name):
    sent, status = UNREAD[name]
    begin = time.monotonic()
    with socket.create_connection(server.address, timeout=5) as connection:
        connection.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(65536):
                answer += received
                connection.sendall(b" ")  # the body goes on
    assert time.monotonic() - begin < 4
    assert re.findall(b"HTTP/1.1 ([0-9]+)", answer) == [str(status).encode()]
    assert answer.lower().count(b"\r\nconnection: close\r\n") == 1


def test_a_head_that_comes_too_slowly(strict_server):
    before = by_status(strict_server)
    good = head("Content-Length: 16") + GOOD
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = [[head()[:30]], [good, head()[:30]], []]
        first, second, none = pool.map(
            lambda part: strict_server.exchange(*part), parts
        )
    assert time.monotonic() - begin < 8
    assert "HTTP/1.1 408" in first and "the head did not come within 2 sec" in first
    assert re.findall("HTTP/1.1 ([0-9]+)", second) == ["200"]
    assert none == ""
    assert by_status(strict_server)["408"] == before.get("408", 0) + 1


def test_no_more_connections_than_allowed(folder):
    with (
        served_toy.serving(folder, "--max-connections", 2) as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(2):
            stack.enter_context(socket.create_connection(server.address))
        answer = server.exchange()
        assert "HTTP/1.1 503" in answer and "2 connections, no more" in answer
        assert "Retry-After: 1" in answer and "Connection: close" in answer
        stack.close()
        wait_for(lambda: "HTTP/1.1 200" in server.exchange(HEALTH))
        assert by_status(server)["503"] >= 1


def test_responses_are_counted_by_their_status(server, client):
    before = by_status(server)
    client.post("/predict", content=b"[]", headers=JSON)
    client.post("/predict", content=b"", headers={})
    client.get("/nothing")
    predict(client, "a")
    assert client.post("/predict", json={"texts": ["nan"]}).status_code == 500
    assert "HTTP/1.1 400" in server.exchange(b"no HTTP\r\n\r\n")
    assert server.exchange(head("Content-Length: 99"), GOOD, shut=True) == ""
    expected = {"200": 2, "400": 2, "404": 1, "415": 1, "499": 1, "500": 1}
    after = by_status(server)
    assert {
        status: after[status] - before.get(status, 0) for status in expected
    } == expected


# --- no room, no time, no luck ----------------------------------------------------


def test_a_failure_of_the_model_is_no_end(client, direct):
    for text, message in (
        ("fail", "the model failed on a batch"),
        ("nan", "the probabilities of texts[1] are not finite"),
    ):
        response = client.post("/predict", json={"texts": ["a", text]})
        assert response.status_code == 500
        assert message in response.json()["error"]
        assert predict(client, "a") == direct(["a"])
    assert client.get("/health").status_code == 200


def test_failures_of_the_model_are_logged(folder, caplog):
    model = served_model.ServedModel(folder)
    batcher = micro_batching.Batcher(model.predict)
    served = service.Service(model, batcher, request_texts.Limits(), 20)
    transport = httpx.ASGITransport(app=served.application())

    async def ask(text):
        async with batcher, httpx.AsyncClient(transport=transport) as client:
            answer = await client.post("http://here/predict", json={"texts": [text]})
        assert answer.status_code == 500
        return [f"{each.levelname} {each.message}" for each in caplog.records]

    assert asyncio.run(ask("fail")) == ["ERROR the model failed on a batch"]
    (*_, logged) = asyncio.run(ask("nan"))
    bad = "the model gave a bad output: the probabilities of texts[0] are not finite"
    assert logged == f"ERROR {bad}"


def test_a_label_that_contradicts_its_probabilities(folder):
    model = served_model.ServedModel(folder)
    bad, good = served_toy.CLASS_NAMES
    (named,) = model.predictions([(good, [0.4, 0.6])])
    assert named == {"label": good, "probabilities": {bad: 0.4, good: 0.6}}
    assert model.predictions([(label, [0.5, 0.5]) for label in (bad, good)])
    expected = r"label of texts\[1\] is 'schlecht', but 'gut"
    with pytest.raises(served_model.BadOutput, match=expected):
        model.predictions([(bad, [0.6, 0.4]), (bad, [0.4, 0.6])])
    with pytest.raises(served_model.BadOutput, match="label of texts.0. is 'other'"):
        model.predictions([("other", [0.4, 0.6])])


def test_a_body_that_comes_too_slowly(strict_server):
    length = head("Content-Length: 16") + GOOD[:9]
    chunk = head(CHUNKED) + b"1\r\n{\r\n"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for answer in pool.map(strict_server.exchange, (length, chunk)):
            assert "HTTP/1.1 408" in answer
            assert "did not come within 2 seconds" in answer


def test_a_full_queue_and_a_slow_model(strict_server, direct):
    with (
        connected(strict_server) as client,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        batches = counted(client)["batches"]
        slow = pool.submit(client.post, "/predict", json={"texts": ["sleep 4"]})
        wait_for(lambda: counted(client)["batches"] > batches)
        waiting = pool.submit(client.post, "/predict", json={"texts": ["a", "b", "c"]})
        wait_for(lambda: counted(client)["waiting_texts"] == 3)
        full = client.post("/predict", json={"texts": ["d", "e"]})
        assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
        assert "3 texts are waiting and 2 more came" in full.json()["error"]
        for late in (slow.result(), waiting.result()):
            assert late.status_code == 504
            assert "no prediction within 2 seconds" in late.json()["error"]
        sick = client.get("/health")
        assert sick.status_code == 503 and "not answered for" in sick.json()["error"]
        wait_for(lambda: client.get("/health").status_code == 200)
        assert predict(client, "d", "e") == direct(["d", "e"])


def test_a_client_that_has_gone_is_not_predicted(strict_server, direct):
    with (
        connected(strict_server) as client,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        before = counted(client)
        slow = pool.submit(client.post, "/predict", json={"texts": ["sleep 1.4"]})
        wait_for(lambda: counted(client)["batches"] > before["batches"])
        with connected(strict_server) as gone, contextlib.suppress(httpx.ReadTimeout):
            gone.post(
                "/predict",
                json={"texts": ["a", "b"]},
                timeout=httpx.Timeout(20, read=0.2),
            )
        assert slow.result().json() == {"predictions": direct(["sleep 1.4"])}
        after = counted(client)
        assert after["requests"] - before["requests"] == 2
        assert after["texts"] - before["texts"] == 1
        assert after["waiting_texts"] == 0


# --- beginning and end ------------------------------------------------------------


def test_what_was_accepted_is_answered_after_sigterm(folder, direct):
    one = "--batch-size", 1, "--timeout", 5
    texts = ["sleep 0.7", "sleep 0.3", "a"]
    with served_toy.serving(folder, *one) as server, connected(server) as client:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            calls = [pool.submit(predict_alone, server, text) for text in texts]
            wait_for(lambda: counted(client)["requests"] == len(texts))
            server.process.send_signal(signal.SIGTERM)
            assert [call.result() for call in calls] == [direct([t]) for t in texts]
        with pytest.raises(httpx.TransportError):
            client.get("/health")
        assert server.process.wait(20) == 0


@pytest.mark.slow
def test_a_model_that_hangs_does_not_keep_the_server(folder):
    with served_toy.serving(folder, "--timeout", 1) as server:
        with connected(server) as client:
            response = client.post("/predict", json={"texts": ["sleep 1000"]})
        assert response.status_code == 504
        assert "the model does not end its last call" in server.stop(returncode=1)


def refused(capsys, *arguments):
    """What the program says as it ends at the start."""
    serves = mock.patch.object(serve, "run", side_effect=AssertionError("it serves"))
    with serves, pytest.raises(SystemExit) as ended:
        serve.main([str(argument) for argument in arguments])
    message = str(ended.value) if ended.value.code != 2 else capsys.readouterr().err
    return message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-texts", 0], "--max-texts must be at least 1, it is 0"),
        (["--max-connections", 0], "--max-connections must be at least 1, it is 0"),
        (["--batch-size", -1], "--batch-size must be at least 1, it is -1"),
        (["--queue-size", 63], "--queue-size 63 must not be below --max-texts 64"),
        (["--batch-wait-ms", -1], "--batch-wait-ms must not be negative"),
        (["--timeout", "nan"], "--timeout must be above 0, it is nan"),
        (["--port", 65536], "--port must be from 0 to 65535, it is 65536"),
    ],
)
def test_options_that_cannot_work(capsys, folder, options, message):
    assert message in refused(capsys, folder, *options)


def test_a_port_that_is_taken_or_a_host_of_others(capsys, folder, server):
    port = server.address[1]
    message = refused(capsys, folder, "--port", port)
    expected = (
        f"error: cannot listen on --host 127.0.0.1 --port {port}: Address already"
    )
    assert message.startswith(expected)
    message = refused(capsys, folder, "--host", "192.0.2.1", "--port", 0)
    assert "cannot listen on --host 192.0.2.1 --port 0" in message


def test_no_exported_folder(tmp_path):
    process = isolated.start(served_toy.SCRIPT, tmp_path / "none")
    _, errors = process.communicate()
    assert process.returncode == 1
    expected = "is not a folder, an exported model is expected"
    assert errors == f"error: {tmp_path / 'none'} {expected}\n"


def test_folders_that_are_not_whole(capsys, tmp_path):
    assert "metadata.json cannot be read" in refused(capsys, tmp_path)
    file = tmp_path / "metadata.json"
    for text in (
        "{",
        "[]",
        "{}",
        '{"class_names": ["a", "a"]}',
        '{"class_names": [1]}',
    ):
        file.write_text(text)
        expected = "cannot be read" if text == "{" else "needs class_names"
        assert expected in refused(capsys, tmp_path)
    file.write_text('{"class_names": ["a", "b"]}')
    assert "saved_model is not a SavedModel" in refused(capsys, tmp_path)
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"not a model")
    message = refused(capsys, tmp_path)
    assert "saved_model cannot be loaded" in message and "\n" not in message


def classifier(width=2, dtype=tf.float32, key="probabilities", fails=False):
    """A module and its function, which may not be as the server expects."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def function(text):
        if fails:
            tf.debugging.Assert(tf.reduce_all(text != ""), ["no words"])
        zeros = tf.zeros([tf.size(text), width], dtype)
        return {key: zeros, "labels": tf.identity(text)}

    module = tf.Module()
    module.function = function
    return {"module": module, "function": function}


def of_tokens():
    """A module whose input is not text."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.int32, name="token_ids")])
    def function(token_ids):
        return {"probabilities": tf.cast(token_ids, tf.float32)}

    module = tf.Module()
    module.function = function
    return {"module": module, "function": function}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: {"signature": "token_ids"}, "the model has token_ids"),
        (of_tokens, "input text, string (batch,), is expected, it is {'token_ids'"),
        (lambda: classifier(key="scores"), "are expected, they are {'"),
        (lambda: classifier(dtype=tf.float64), "('float64', 2)"),
        (lambda: {"class_names": served_toy.CLASS_NAMES[::-1]}, "text, the label of "),
        (lambda: {"class_names": ["no", "yes"]}, "of class_names in metadata"),
        (lambda: classifier(width=3), "gives 3 probabilities, but class_names"),
        (lambda: classifier(fails=True), "fails on an empty text: Graph execution"),
    ],
)
def test_models_that_cannot_be_served(capsys, tmp_path, made, message):
    served_toy.save(tmp_path, **made())
    said = refused(capsys, tmp_path)
    assert said.startswith("error: ") and message in said and "\n" not in said


@pytest.mark.slow
def test_the_benchmark_writes_its_table(folder, tmp_path):
    file = tmp_path / "results.md"
    before, after = (
        "before\n<!-- serving.py begin -->",
        "<!-- serving.py end -->\nafter\n",
    )
    file.write_text(f"{before}\nold\n{after}")
    quick = "--seconds", 1, "--rounds", 2, "--clients", 2, "--output", file
    script = served_toy.SCRIPT.parents[2] / "benchmarks" / "serving.py"
    isolated.run(script, folder, folder, *quick)
    text = file.read_text()
    assert text.startswith(before) and text.endswith(after) and "old" not in text
    rows = re.findall(rf"^\| {folder} \|(?: [0-9.]+ \|){{4}}.*\|$", text, re.M)
    assert len(rows) == 2


@pytest.fixture
def benchmark(monkeypatch):
    """The module of the benchmark."""
    monkeypatch.syspath_prepend(served_toy.SCRIPT.parents[2] / "benchmarks")
    return importlib.import_module("serving")


def test_the_benchmark_alternates_and_leaves_out_its_warm_up(benchmark, monkeypatch):
    loaded, counts = [], {"aligned": [0, 0], "plain": [0, 0]}

    async def load(address, options, seconds, seed):
        texts = 100 if seed == "warm-up" else 6
        counts[address] = [counts[address][0] + texts, counts[address][1] + 2]
        loaded.append((seed, address))
        return 1.0, [0.1]

    async def texts_and_calls(address):
        return np.array(counts[address])

    monkeypatch.setattr(benchmark, "load", load)
    monkeypatch.setattr(benchmark, "texts_and_calls", texts_and_calls)
    options = benchmark.parse_arguments(["aligned", "plain", "--rounds", "3"])
    *_, sizes = asyncio.run(benchmark.measure(["aligned", "plain"], options))
    assert sizes == [3, 3]
    order = [[name for seed, name in loaded if seed == each] for each in range(3)]
    assert order == [["aligned", "plain"], ["plain", "aligned"], ["aligned", "plain"]]


def test_the_benchmark_tells_folders_of_one_name_apart(benchmark):
    folders = [pathlib.Path("a/model"), pathlib.Path("b/model")]
    assert benchmark.labels(folders) == ["a/model", "b/model"]
    assert benchmark.labels([folders[0], pathlib.Path("b/plain")]) == ["model", "plain"]
