"""`examples/serving/serve.py`: right answers, wrong requests, the end."""

import asyncio
import gzip
import json
import socket
import time

import httpx
import pytest
import serve
import served_model
import served_toy
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

# Keras's way of saving variables, on NumPy 2.
pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

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
    return served_model.ServedModel(folder).predict


@pytest.fixture(scope="module")
def server(folder):
    some = "--timeout", 2, "--max-requests", 60
    with served_toy.serving(folder, *LIMITS, *some) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client:
        yield client


def post(client, *texts):
    return client.post("/predict", json={"texts": texts})


def post_all(server, requests, then=None):
    """The responses to requests that are sent at the same time."""

    async def send():
        limits = httpx.Limits(max_connections=len(requests))
        options = {"timeout": 20, "limits": limits, "trust_env": False}
        async with httpx.AsyncClient(base_url=server.url, **options) as client:
            sent = [asyncio.ensure_future(post(client, *texts)) for texts in requests]
            if then:
                await asyncio.sleep(0.5)
                then()
            return await asyncio.gather(*sent)

    return asyncio.run(send())


# --- right answers ----------------------------------------------------------------


def test_predictions(client, direct):
    texts = ["a fine film", "", "zéro \U0001f600", "nul\0", "\0", "\n"]
    assert post(client, *texts).json() == {"predictions": direct(texts)}
    body = '{"texts": ["\\ud83d\\ude00", "\\u0000"]}'
    headers = {"Content-Type": 'Application/JSON;Charset="UTF-8"'}
    response = client.post("/predict", content=body, headers=headers)
    assert response.json() == {"predictions": direct(["\U0001f600", "\0"])}


def test_the_largest_request_is_more_than_one_batch(client, direct):
    texts = ["é" * (MAX_CHARACTERS - 2) + f"{n:02}" for n in range(MAX_TEXTS)]
    body = json.dumps({"texts": texts}, ensure_ascii=False).encode().ljust(MAX_BYTES)
    response = client.post("/predict", content=body, headers=JSON)
    assert response.json() == {"predictions": direct(texts)}


def test_health_metadata_and_schema(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.head("/health").status_code == 200
    found = client.get("/metadata").json()
    assert found["model"] == {"name": "toy", "class_names": served_toy.CLASS_NAMES}
    assert found["limits"] == {
        "max_texts": MAX_TEXTS,
        "max_characters": MAX_CHARACTERS,
        "max_body_bytes": MAX_BYTES,
        "max_requests": 60,
    }
    assert client.get("/openapi.json").json()["info"]["title"] == "toy"


def test_each_of_many_requests_has_its_own_answer(server, direct):
    requests = [[f"{n}: {i}" for i in range(1 + n % 12)] for n in range(50)]
    responses = post_all(server, requests)
    for texts, response in zip(requests, responses, strict=True):
        assert response.json() == {"predictions": direct(texts)}


def test_requests_that_come_together_are_batched(server):
    """Sixteen texts of half a second are two calls of the model, not sixteen."""
    begin = time.monotonic()
    responses = post_all(server, [["sleep 0.5"]] * 16)
    assert [response.status_code for response in responses] == [200] * 16
    assert time.monotonic() - begin < 4


# --- requests that are not as they should be --------------------------------------

INVALID = "Invalid JSON: "
BODIES = {
    "empty": (b"", 400, INVALID + "EOF while parsing a value"),
    "words": (b"a fine film", 400, INVALID + "expected value"),
    "cut off": (b'{"texts": ["a fi', 400, INVALID + "EOF while parsing a string"),
    "two values": (b'{"texts": ["a"]} {}', 400, INVALID + "trailing characters"),
    "raw newline": (b'{"texts": ["a\nb"]}', 400, INVALID + "control character"),
    "byte order mark": (b'\xef\xbb\xbf{"texts": ["a"]}', 400, INVALID),
    "Latin-1": ('{"texts": ["é"]}'.encode("latin-1"), 400, INVALID + "invalid unic"),
    "surrogate in UTF-8": (b'{"texts": ["\xed\xa0\x80"]}', 400, INVALID),
    "UTF-16": ('{"texts": ["a"]}'.encode("utf-16"), 400, INVALID),
    "gzip": (gzip.compress(b'{"texts": ["a"]}'), 400, INVALID),
    "surrogate": (b'{"texts": ["a\\ud800b"]}', 400, INVALID + "unexpected end of hex"),
    "low surrogate": (b'{"texts": ["", "\\udc00"]}', 400, INVALID + "lone leading"),
    "NaN": (b'{"texts": NaN}', 400, "texts: Input should be a valid array"),
    "infinity": (b'{"texts": [-Infinity]}', 400, "texts.0: Input should be a valid"),
    "huge integer": (b'{"texts": [' + b"9" * 3900 + b"]}", 400, "texts.0: Input"),
    "deep lists": (b"[" * MAX_BYTES, 400, INVALID + "recursion limit exceeded"),
    "deep objects": (b'{"texts":' * 400, 400, INVALID + "recursion limit exceeded"),
    "a list": (b'["a"]', 400, "Input should be an object"),
    "null": (b"null", 400, "Input should be an object"),
    "no key": (b"{}", 400, "texts: Field required"),
    "one more key": (b'{"texts": ["a"], "\xc3\xa9": 1}', 400, "Extra inputs are not"),
    "long key": (b'{"texts": ["a"], "' + b"k" * 3000 + b'": 1}', 400, "kkkk"),
    "texts: string": (b'{"texts": "a"}', 400, "texts: Input should be a valid array"),
    "texts: object": (b'{"texts": {"0": "a"}}', 400, "texts: Input should be a valid"),
    "no texts": (b'{"texts": []}', 400, "texts: List should have at least 1 item"),
    "a text: null": (b'{"texts": ["a", null]}', 400, "texts.1: Input should be a val"),
    "a text: number": (b'{"texts": [1.5]}', 400, "texts.0: Input should be a valid st"),
    "too many": (
        json.dumps({"texts": ["a"] * (MAX_TEXTS + 1)}).encode(),
        *(400, "texts: List should have at most 20 items after validation, not 21"),
    ),
    "too long": (
        json.dumps({"texts": ["a", "x" * (MAX_CHARACTERS + 1)]}).encode(),
        *(400, "texts.1: String should have at most 30 characters"),
    ),
    "too large": (
        b'{"texts": ["a"]}'.ljust(MAX_BYTES + 1),
        *(413, "the body has more than 4000 bytes"),
    ),
    "far too large": (b" " * 10**6, 413, "the body has more than 4000 bytes"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_refused(client, name):
    body, status, message = BODIES[name]
    response = client.post("/predict", content=body, headers=JSON)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert message in response.json()["error"]
    assert len(response.json()["error"]) <= 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/jsonp"},
        {**JSON, "Content-Encoding": "gzip"},
    ],
)
def test_types_that_are_refused(client, headers):
    response = client.post("/predict", content=b'{"texts": ["a"]}', headers=headers)
    assert response.status_code == 415
    assert "application/json" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/predictions", 404),
        ("GET", "/../metadata.json", 404),
        ("GET", "/predict", 405),
        ("POST", "/health", 405),
    ],
)
def test_paths_and_methods_that_are_refused(client, method, path, status):
    response = client.request(method, path, content=b'{"texts": ["a"]}', headers=JSON)
    assert (response.status_code, list(response.json())) == (status, ["error"])


def test_a_client_that_leaves_changes_nothing(server, client, direct):
    host, port = server.url.removeprefix("http://").split(":")
    head = "POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f'{head}Content-Length: 99\r\n\r\n{{"texts"'.encode())
    assert post(client, "a").json() == {"predictions": direct(["a"])}


# --- no room, no time, no luck ----------------------------------------------------


@pytest.mark.parametrize("text", ["fail", "nan"])
def test_a_failure_of_the_model_is_no_end(client, direct, text):
    response = post(client, "a", text)
    assert response.status_code == 500
    assert response.json() == {"error": "the model failed on these texts"}
    assert post(client, "a").json() == {"predictions": direct(["a"])}
    assert client.get("/health").status_code == 200


def test_too_many_requests(server):
    responses = post_all(server, [["sleep 0.5"]] * 75)
    statuses = [response.status_code for response in responses]
    assert statuses.count(503) >= 15 and statuses.count(200) >= 8
    (refused, *_) = [each for each in responses if each.status_code == 503]
    assert refused.headers["Retry-After"] == "1"
    assert refused.json() == {"error": "60 requests wait"}


def test_a_model_that_takes_too_long(client, direct):
    time.sleep(2.5)  # until the texts of other tests are done
    late = post(client, "sleep 3")
    assert late.status_code == 504
    assert late.json() == {"error": "no answer in 2 seconds"}
    assert client.get("/health").status_code == 503
    assert post(client, "a").status_code == 503
    time.sleep(1.5)
    assert client.get("/health").status_code == 200
    assert post(client, "a").json() == {"predictions": direct(["a"])}


# --- beginning and end ------------------------------------------------------------


@pytest.mark.slow
def test_what_was_accepted_is_answered_after_sigterm(folder, direct):
    requests = [[f"{n}", "sleep 0.3"] for n in range(40)]  # of two texts a call
    options = "--batch-size", 10
    with served_toy.serving(folder, *options, TF_CPP_MIN_LOG_LEVEL="3") as server:
        responses = post_all(server, requests, server.process.terminate)
        answers = [response.json() for response in responses]
        assert answers == [{"predictions": direct(texts)} for texts in requests]
        assert server.process.wait(20) == 0


@pytest.mark.slow
def test_a_model_that_hangs_does_not_keep_the_server(folder):
    with served_toy.serving(folder, "--timeout", 1) as server:
        (late,) = post_all(server, [["sleep 1000"]])
        assert late.status_code == 504
        server.process.terminate()
        assert server.process.wait(20) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-texts", "0"], "argument --max-texts: must be an integer above 0: 0"),
        (["--timeout", "nan"], "argument --timeout: must be an integer above 0: nan"),
        (["--host", "192.0.2.1"], "(while attempting to bind on address ('192.0.2.1',"),
    ],
)
def test_options_that_cannot_work(capsys, folder, options, message):
    with pytest.raises(SystemExit) as ended:
        serve.main([str(folder), *options])
    assert message in f"{ended.value}\n{capsys.readouterr().err}"


# --- models ------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("toy", "sizes"), [(OfJax, [1, 2, 4, 8, 12]), (served_toy.Toy, [*range(1, 13)])]
)
def test_only_what_compiles_for_each_size_is_padded(folder, tmp_path, toy, sizes):
    folder = served_toy.save(tmp_path, toy()) if toy is OfJax else folder
    model = served_model.ServedModel(folder)
    options = serve.parse_arguments([str(folder), "--batch-size", "12"])
    call = serve.batched(model.signature, options)
    nodes = call.get_concrete_function().graph.as_graph_def().node
    (node,) = [node for node in nodes if node.op == "BatchFunction"]
    assert list(node.attr["allowed_batch_sizes"].list.i) == sizes
    texts = [f"{n}" for n in range(30)]
    answers = model.predict(texts)
    model.signature = call
    assert model.predict(texts) == answers


def refused(folder):
    """What is wrong with an exported folder."""
    with pytest.raises(served_model.ExportError) as error:
        served_model.ServedModel(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folders_that_are_not_whole(tmp_path):
    assert "none is not a folder" in refused(tmp_path / "none")
    assert "metadata.json cannot be read" in refused(tmp_path)
    file = tmp_path / "metadata.json"
    for text in ("{", "[]", '{"class_names": ["a", "a"]}', '{"class_names": [1]}'):
        file.write_text(text)
        expected = "cannot be read" if text == "{" else "needs class_names"
        assert expected in refused(tmp_path)
    file.write_text('{"class_names": ["a", "b"]}')
    assert "saved_model is not a SavedModel" in refused(tmp_path)
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"not a model")
    assert "saved_model cannot be loaded" in refused(tmp_path)


def classifier(
    width=2, dtype=tf.float32, key="probabilities", name="text", fails=False
):
    """A module and its function, which may not be as the server expects."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=name)])
    def function(text):
        if fails:
            tf.debugging.Assert(tf.reduce_all(text != ""), ["no words"])
        zeros = tf.zeros([tf.size(text), width], dtype)
        return {key: zeros, "labels": tf.identity(text)}

    module = tf.Module()
    module.function = function
    return {"module": module, "function": function}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: {"signature": "token_ids"}, "the model has token_ids"),
        (lambda: classifier(name="words"), "input text, string (batch,), is expected"),
        (lambda: classifier(key="scores"), "are expected, they are {'"),
        (lambda: classifier(dtype=tf.float64), "('float64', 2)"),
        (lambda: {"class_names": served_toy.CLASS_NAMES[::-1]}, "Received: label="),
        (lambda: {"class_names": ["no", "yes"]}, "Expected the label of the largest"),
        (lambda: classifier(width=3), "has 2 names. Received: probabilities of shape"),
        (lambda: classifier(fails=True), "fails on an empty text: Graph execution"),
    ],
)
def test_models_that_cannot_be_served(tmp_path, made, message):
    assert message in refused(served_toy.save(tmp_path, **made()))
