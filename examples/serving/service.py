"""The application that `serve.py` serves: what each path answers."""

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging

import connections
import micro_batching
import request_texts
import served_model
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

LOGGER = logging.getLogger(__name__)
GONE = 499  # as nginx counts clients that did not wait


class Service:
    """The answers to the requests.

    Args:
        model: A `served_model.ServedModel`.
        batcher: A `micro_batching.Batcher` of it.
        limits: A `request_texts.Limits`.
        timeout: Seconds that reading a request, and then answering it, may take.
    """

    def __init__(self, model, batcher, limits, timeout):
        self.model = model
        self.batcher = batcher
        self.limits = limits
        self.timeout = timeout
        self.responses = collections.Counter()

    def application(self):
        """The ASGI application."""
        application = Starlette(
            routes=[
                Route("/predict", self.predict, methods=["POST"]),
                Route("/health", self.health),
                Route("/metadata", self.metadata),
                Route("/metrics", self.metrics),
            ],
            exception_handlers={HTTPException: refusal, Exception: failure},
            lifespan=self.lifespan,
        )
        application.router.redirect_slashes = False
        return connections.Responses(application, self.responses)

    @contextlib.asynccontextmanager
    async def lifespan(self, application):
        """Makes predictions as long as the server runs."""
        async with self.batcher:
            yield

    async def predict(self, request):
        """Answers with the predictions for the texts of a request."""
        try:
            texts = await request_texts.read(request, self.limits, self.timeout)
            rows = await self.rows(request, texts)
            predictions = self.model.predictions(rows)
        except ClientDisconnect:
            return Response(status_code=GONE)  # nobody reads it
        except micro_batching.QueueFull as error:
            raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
        except micro_batching.NotRunning as error:
            raise HTTPException(503, str(error)) from error
        except micro_batching.ModelFailed as error:  # logged where it was caught
            raise HTTPException(500, str(error)) from error
        except served_model.BadOutput as error:
            LOGGER.error("the model gave a bad output: %s", error)
            raise HTTPException(500, str(error)) from error
        return as_json({"predictions": predictions})

    async def rows(self, request, texts):
        """Waits for the rows of the texts as long as the client does."""
        rows = asyncio.ensure_future(self.batcher.submit(texts))
        gone = asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait(
                {rows, gone}, timeout=self.timeout, return_when="FIRST_COMPLETED"
            )
            if rows.done():
                return rows.result()
            if gone.done():
                raise ClientDisconnect
            message = f"there was no prediction within {self.timeout:g} seconds"
            raise HTTPException(504, message)
        finally:
            rows.cancel()
            gone.cancel()

    async def health(self, request):
        """Says whether predictions are made."""
        seconds = self.batcher.seconds_in_model
        if not self.batcher.running:
            return as_json({"error": "no predictions are made any more"}, 503)
        if seconds > self.timeout:
            message = f"the model has not answered for {seconds:.0f} seconds"
            return as_json({"error": message}, 503)
        return as_json({"status": "ok"})

    async def metadata(self, request):
        """Says what the model is and what a request may hold."""
        limits = dataclasses.asdict(self.limits)
        return as_json({"model": self.model.metadata, "limits": limits})

    async def metrics(self, request):
        """Counts what was done, in the text format of Prometheus."""
        text = "# TYPE serve_waiting_texts gauge\n"
        text += f"serve_waiting_texts {self.batcher.waiting}\n"
        for name, count in dataclasses.asdict(self.batcher.counts).items():
            text += f"# TYPE serve_{name}_total counter\n"
            text += f"serve_{name}_total {count}\n"
        text += "# TYPE serve_responses_total counter\n"
        for status, count in sorted(self.responses.items()):
            text += f'serve_responses_total{{status="{status}"}} {count}\n'
        return PlainTextResponse(text)


async def disconnected(request):
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def as_json(value, status=200, headers=None):
    """A response in ASCII: what a client sent may not be fit for UTF-8."""
    body = json.dumps(value).encode("ascii")
    return Response(body, status, headers, media_type="application/json")


async def refusal(request, error):
    """The response to a request that is refused."""
    message = error.detail
    if error.status_code == 404:
        message = "this path is not known: /predict, /health, /metadata, /metrics are"
    if error.status_code == 405:
        allowed = error.headers["Allow"]
        message = f"the method is {request.method}, {allowed} is expected"
    return as_json({"error": message}, error.status_code, error.headers)


async def failure(request, error):
    """The response when the server itself failed."""
    return as_json({"error": "the server failed, its log says how"}, 500)
