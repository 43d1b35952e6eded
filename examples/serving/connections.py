"""Limits and counts of the connections of `serve.py`.

Of uvicorn's own limits there is none for the time of an unfinished head, nor for the
rest of a body of which nobody reads more, and its limit of connections applies only
when a whole head has come.
"""

import asyncio
import contextlib
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_SECONDS = 1.0


class Responses:
    """Counts the responses of an ASGI application by their status.

    A connection ends with a response that came before the whole body: what is still
    sent is dropped for a second, so that the client can read why.
    """

    def __init__(self, application, counts):
        self.application = application
        self.counts = counts

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        response = Response(scope, receive, send, self.counts)
        await self.application(scope, response.receive, response.send)


class Response:
    """One request and its response."""

    def __init__(self, scope, receive, send, counts):
        names = dict(scope["headers"])
        length = names.get(b"content-length", b"0").strip(b"0")
        self.body_is_read = not length and b"transfer-encoding" not in names
        self._receive = receive
        self._send = send
        self._counts = counts

    async def receive(self):
        """The next part of the body."""
        message = await self._receive()
        if not message.get("more_body"):  # its end, or that of the connection
            self.body_is_read = True
        return message

    async def send(self, message):
        """Sends the next part of the response."""
        if message["type"] == "http.response.start":
            self._counts[message["status"]] += 1
            if not self.body_is_read:
                close = (b"connection", b"close")
                message = {**message, "headers": [*message["headers"], close]}
        elif not self.body_is_read and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._drop_body()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _drop_body(self):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.body_is_read:
                    await self.receive()


class Connection(H11Protocol):
    """A connection whose heads must come in time, one of not too many.

    Args:
        seconds: In which the whole head of a request must have come.
        most: How many connections there may be.
        counts: Of responses, by their status.
    """

    def __init__(self, *args, seconds, most, counts, **kwargs):
        super().__init__(*args, **kwargs)
        self._seconds = seconds
        self._most = most
        self._counts = counts
        self._head_timer = None

    def connection_made(self, transport):
        """Begins to wait for a head."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            message = f"there are {self._most} connections, no more are allowed"
            self._refuse(503, "Service Unavailable", message)
        else:
            self._wait_for_head()

    def data_received(self, data):
        """Goes on waiting for a head, or ends that."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._wait_for_head()
        else:
            self._end_wait()

    def connection_lost(self, exc):
        """Ends the wait for a head."""
        self._end_wait()
        super().connection_lost(exc)

    def send_400_response(self, msg):
        """Answers what is not HTTP, unless something was answered already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._counts[400] += 1
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _wait_for_head(self):
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._seconds, self._too_late)

    def _end_wait(self):
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_late(self):
        if self.conn.trailing_data[0]:
            message = f"the head did not come within {self._seconds:g} seconds"
            self._refuse(408, "Request Timeout", message)
        else:
            self.transport.close()  # nothing was asked

    def _refuse(self, status, reason, message):
        """Answers before any request has come, and ends the connection."""
        self._counts[status] += 1
        body = json.dumps({"error": message})
        lines = [
            f"HTTP/1.1 {status} {reason}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(["Retry-After: 1"] if status == 503 else []),
            "Connection: close",
        ]
        head = "".join(f"{line}\r\n" for line in [*lines, ""])
        self.transport.write((head + body).encode("ascii"))
        self.transport.close()
