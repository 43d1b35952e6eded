"""Serves an exported classifier of texts over HTTP.

    python examples/serving/serve.py exported --port 8000

    curl localhost:8000/predict -H "Content-Type: application/json" \\
        -d '{"texts": ["a fine film"]}'

answers {"predictions": [{"label": ..., "probabilities": {...}}]}, one for each text in
their order. Texts of requests that come at the same time are put into one call of the
model. What JAX exported compiles for each size of a batch, so that empty texts fill its
batches up to powers of two, and these sizes are compiled at the start.

`GET /health` answers 200 while predictions are made and 503 otherwise, `GET /metadata`
says what the model is and what a request may hold, and `GET /metrics` counts requests,
texts, calls of the model and responses by their status in the text format of
Prometheus; 499 stands for clients that did not wait.

What is wrong is answered as {"error": ...}: 400 for a body that is not as above (an
empty text is allowed, an empty list is not), 408, 413 and 415 for one that comes too
slowly, is too large or is of another type, 500 when the model failed, 503 when too many
texts wait or clients are connected, and 504 when the prediction took too long. An
answer that comes before the whole body ends the connection. SIGTERM ends the server
after the last answer.
"""

import argparse
import contextlib
import functools
import logging
import math
import os
import pathlib
import signal
import socket
import sys
import time

import connections
import micro_batching
import request_texts
import served_model
import service
import uvicorn


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=pathlib.Path, help="what export_saved_model.py wrote")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8000, help="0: a free one")
    add("--max-texts", type=int, default=64, help="texts in a request")
    add("--max-characters", type=int, default=10_000, help="characters in a text")
    add("--max-body-bytes", type=int, default=2**20, help="bytes of a request")
    add("--batch-size", type=int, default=32, help="most texts in a call of the model")
    padded = "fill batches up to powers of two: auto: if XLA compiles for each size"
    add("--pad-batches", choices=("auto", "yes", "no"), default="auto", help=padded)
    add("--batch-wait-ms", type=float, default=5.0, help="wait for others to join")
    add("--queue-size", type=int, default=256, help="texts that may wait")
    add("--timeout", type=float, default=30.0, help="seconds of a head, body or answer")
    add("--max-connections", type=int, default=256, help="more are refused")
    options = parser.parse_args(arguments)
    check_options(parser, options)
    return options


def check_options(parser, options):
    """Refuses what cannot work before anything is started."""
    names = "max_texts", "max_characters", "max_body_bytes", "max_connections"
    for name in (*names, "batch_size"):
        if getattr(options, name) < 1:
            parser.error(
                f"--{name.replace('_', '-')} must be at least 1, "
                f"it is {getattr(options, name)}"
            )
    if options.queue_size < options.max_texts:
        parser.error(
            f"--queue-size {options.queue_size} must not be below --max-texts "
            f"{options.max_texts}: the largest request would never be answered"
        )
    if not 0 <= options.batch_wait_ms < float("inf"):
        parser.error(f"--batch-wait-ms must not be negative: {options.batch_wait_ms}")
    if not 0 < options.timeout < float("inf"):
        parser.error(f"--timeout must be above 0, it is {options.timeout}")
    if not 0 <= options.port < 2**16:
        parser.error(f"--port must be from 0 to 65535, it is {options.port}")


class ListenError(Exception):
    """The address cannot be served on."""


def listen(host, port):
    """Returns a socket that waits for clients."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # Of a socket that names its protocol asyncio turns Nagle's algorithm off.
        family, kind, protocol, _, address = found[0]
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            stack.pop_all()
        return listener
    except OSError as error:
        reason = error.strerror or error
        message = f"cannot listen on --host {host} --port {port}: {reason}"
        raise ListenError(message) from error


def run(served, listener, max_connections):
    """Serves until SIGTERM or SIGINT, and answers what was accepted before."""
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn hands them on at its end
        signal.signal(number, lambda *_: sys.exit(0))
    seconds = math.ceil(2 * served.timeout)
    connection = functools.partial(
        connections.Connection,
        seconds=served.timeout,
        most=max_connections,
        counts=served.responses,
    )
    config = uvicorn.Config(
        served.application(),
        loop="asyncio",
        http=connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=seconds,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        end = time.monotonic() + seconds
        while served.batcher.seconds_in_model:
            if time.monotonic() > end:
                print("error: the model does not end its last call", file=sys.stderr)
                os._exit(1)  # a call of the model cannot be interrupted
            time.sleep(0.05)


def main(arguments=None):
    """Serves as the command line asks."""
    options = parse_arguments(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    try:
        model = served_model.ServedModel(
            options.folder, options.batch_size, options.pad_batches
        )
        listener = listen(options.host, options.port)
    except (served_model.ExportError, ListenError) as error:
        sys.exit(f"error: {error}")
    batcher = micro_batching.Batcher(
        model.predict,
        options.batch_size,
        options.batch_wait_ms / 1000,
        options.queue_size,
    )
    limits = request_texts.Limits(
        options.max_texts, options.max_characters, options.max_body_bytes
    )
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"serving {options.folder} on http://{host}:{port}", flush=True)
    served = service.Service(model, batcher, limits, options.timeout)
    run(served, listener, options.max_connections)


if __name__ == "__main__":
    main()
