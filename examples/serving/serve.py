"""Serves an exported classifier of texts over HTTP.

    python examples/serving/serve.py exported --port 8000

    curl localhost:8000/predict -H "Content-Type: application/json" \\
        -d '{"texts": ["a fine film"]}'

answers {"predictions": [{"label": ..., "probabilities": {...}}]}, one for each text in
their order. `GET /health`, `/metadata` and `/docs` tell more. What is wrong is answered
as {"error": ...}: 400 for a body that is not as above, 413 and 415 for one that is too
large or of another type, 500 when the model failed, 503 when too many requests wait,
504 when it took too long. SIGTERM ends the server after the last answer.
"""

import argparse
import logging
import os
import pathlib
import signal
import socket
import sys
import time

import fastapi
import pydantic
import served_model
import uvicorn
from anyio import CapacityLimiter, fail_after, to_thread
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    formatter = argparse.ArgumentDefaultsHelpFormatter
    title = __doc__.split("\n")[0]
    parser = argparse.ArgumentParser(description=title, formatter_class=formatter)
    add = parser.add_argument
    add("folder", type=pathlib.Path, help="what export_saved_model.py wrote")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8000, help="0: a free one")
    add("--max-texts", type=positive, default=64, help="texts in a request")
    add("--max-characters", type=positive, default=10_000, help="characters in a text")
    add("--max-body-bytes", type=positive, default=2**20, help="bytes of a request")
    add("--max-requests", type=positive, default=256, help="predicted at the same time")
    add("--batch-size", type=positive, default=32, help="most texts in a call")
    add("--batch-wait-ms", type=positive, default=5, help="wait for others to join")
    add("--timeout", type=positive, default=30, help="seconds of a prediction")
    return parser.parse_args(arguments)


def positive(text):
    """An integer above 0."""
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"must be an integer above 0: {text}")


def batched(signature, options):
    """Joins the texts of calls from several threads, by TensorFlow Serving's batching.

    What JAX exported is compiled for each size of a batch: here for powers of two.
    """
    import tensorflow as tf

    compiles = b"XlaCallModule" in signature.graph.as_graph_def().SerializeToString()
    most, sizes = options.batch_size, [*range(1, options.batch_size + 1)]
    if compiles:
        sizes = [size for size in sizes if not size & (size - 1) or size == most]

    @tf.nondifferentiable_batch_function(
        num_batch_threads=1,
        max_batch_size=max(options.max_texts, most),
        batch_timeout_micros=1000 * options.batch_wait_ms,
        allowed_batch_sizes=sizes,
        max_enqueued_batches=options.max_requests * options.max_texts,
        autograph=False,
    )
    def joined(text):
        return signature(text=text)

    call = tf.function(lambda text: joined(text), [tf.TensorSpec([None], tf.string)])
    for size in sizes if compiles else [1]:
        call(tf.constant([""] * size))
    return call


class Predictions:
    """Predicts in threads, whose texts are batched, and knows what takes too long."""

    def __init__(self, model, options):
        self.model, self.timeout = model, options.timeout
        self.threads = CapacityLimiter(options.max_requests)
        self.begun = []

    def stuck(self):
        """Whether the oldest prediction has taken too long."""
        return bool(self.begun) and time.monotonic() - self.begun[0] > self.timeout

    async def of(self, texts):
        """Returns the predictions for the texts of a request."""
        waiting = len(self.begun)
        if self.stuck() or waiting >= self.threads.total_tokens:
            raise HTTPException(503, f"{waiting} requests wait", {"Retry-After": "1"})
        self.begun.append(begun := time.monotonic())
        apart = {"abandon_on_cancel": True, "limiter": self.threads}
        try:
            with fail_after(self.timeout):
                return await to_thread.run_sync(self._predict, texts, begun, **apart)
        except TimeoutError:
            raise HTTPException(504, f"no answer in {self.timeout} seconds") from None
        except Exception:
            logging.exception("the model failed")
            raise HTTPException(500, "the model failed on these texts") from None

    def _predict(self, texts, begun):
        try:
            return self.model.predict(texts)
        finally:
            self.begun.remove(begun)


async def read(request, form, most):
    """Returns the texts of a request of which the body has at most so many bytes."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" or "content-encoding" in request.headers:
        raise HTTPException(415, "Content-Type application/json is expected, plain")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: most + 1 - len(body)]  # read to its end, where clients listen
    if len(body) > most:
        raise HTTPException(413, f"the body has more than {most} bytes")
    try:
        return form.model_validate_json(bytes(body)).texts
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("body", *first["loc"])))
        raise HTTPException(400, f"{place}: {first['msg']}"[:200]) from None


def application(model, options):
    """The paths, and what each answers."""
    text = pydantic.constr(max_length=options.max_characters)
    texts = pydantic.conlist(text, min_length=1, max_length=options.max_texts)
    config = pydantic.ConfigDict(extra="forbid", strict=True)
    form = pydantic.create_model("Texts", __config__=config, texts=texts)
    content = {"application/json": {"schema": form.model_json_schema()}}
    app = fastapi.FastAPI(title=str(model.metadata.get("name", "classifier")))
    app.state.predictions = predictions = Predictions(model, options)

    @app.post("/predict", openapi_extra={"requestBody": {"content": content}})
    async def predict(request: fastapi.Request):
        texts = await read(request, form, options.max_body_bytes)
        return {"predictions": await predictions.of(texts)}

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health():
        if predictions.stuck():
            raise HTTPException(503, "the model does not answer")
        return {"status": "ok"}

    @app.get("/metadata")
    async def metadata():
        limits = {name: value for name, value in vars(options).items() if "max" in name}
        return {"model": model.metadata, "limits": limits}

    @app.exception_handler(HTTPException)
    async def refusal(request, error):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    app.add_exception_handler(ClientDisconnect, lambda *_: fastapi.Response())
    return app


def main(arguments=None):
    """Serves as the command line asks, until SIGTERM or SIGINT."""
    options = parse_arguments(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    try:
        model = served_model.ServedModel(options.folder)
        model.signature = batched(model.signature, options)
        listener = socket.create_server((options.host, options.port))
    except (served_model.ExportError, OSError, OverflowError) as error:
        sys.exit(f"error: {error}")
    address = f"http://{options.host}:{listener.getsockname()[1]}"
    print(f"serving {options.folder} on {address}", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn hands them on at its end
        signal.signal(number, lambda *_: sys.exit(0))
    app, settings = application(model, options), {"log_config": None}
    settings |= {"access_log": False, "timeout_graceful_shutdown": 2 * options.timeout}
    try:
        uvicorn.Server(uvicorn.Config(app, **settings)).run(sockets=[listener])
    finally:
        if app.state.predictions.begun:  # which nobody waits for any more
            os._exit(0)  # a call of the model cannot be interrupted


if __name__ == "__main__":
    main()
