"""Joins the texts of many requests into batches for one model.

    async with Batcher(predict) as batcher:
        rows = await batcher.submit(texts)

`predict` takes a list of texts and returns a list with one row for each. It is called
in one thread of its own, so that the event loop stays free meanwhile.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import logging
import time

LOGGER = logging.getLogger(__name__)


class QueueFull(Exception):
    """There is no room for the texts of a request now."""


class NotRunning(Exception):
    """The batcher has ended, or was not started."""


class ModelFailed(Exception):
    """The model failed on a batch with texts of the request."""


def ended():
    """The error of those whom nobody answers any more."""
    return NotRunning("the server ends")


def failed():
    """The error of those in a batch on which the model failed."""
    return ModelFailed("the model failed on a batch with this request")


@dataclasses.dataclass(eq=False)
class Waiting:
    """A request of which not all texts are answered."""

    texts: list
    arrival: float
    answer: asyncio.Future
    taken: int = 0
    rows: list = dataclasses.field(default_factory=list)

    @property
    def left(self):
        """How many texts are not yet in a batch."""
        return len(self.texts) - self.taken

    def take(self, room):
        """The next texts, at most `room` of them."""
        texts = self.texts[self.taken : self.taken + room]
        self.taken += len(texts)
        return texts

    def add(self, rows):
        """Keeps the rows of one batch; the last of them complete the answer."""
        self.rows += rows
        if len(self.rows) == len(self.texts) and not self.answer.done():
            self.answer.set_result(self.rows)

    def fail(self, error):
        """Ends the request with an error."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclasses.dataclass
class Counts:
    """What a batcher has done so far."""

    requests: int = 0
    refused_requests: int = 0
    batches: int = 0
    failed_batches: int = 0
    texts: int = 0


class Batcher:
    """Answers requests in batches, in the order of their arrival.

    Args:
        predict: Function from a list of texts to a list of as many rows.
        batch_size: Most texts in a call of `predict`.
        wait_seconds: How long the first text waits for others to fill its batch.
        queue_size: Most texts that may wait; more are refused.
    """

    def __init__(self, predict, batch_size=32, wait_seconds=0.005, queue_size=256):
        self.batch_size = batch_size
        self.wait_seconds = wait_seconds
        self.queue_size = queue_size
        self.counts = Counts()
        self._predict = predict
        self._queue = collections.deque()
        self._arrived = None
        self._executor = None
        self._call_began = None
        self._task = None

    async def __aenter__(self):
        self._arrived = asyncio.Event()
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "model")
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for request in self._queue:
            request.fail(ended())
        self._queue.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self):
        """How many texts are not yet in a batch."""
        return sum(request.left for request in self._queue)

    @property
    def running(self):
        """Whether requests are taken."""
        return self._task is not None and not self._task.done()

    @property
    def seconds_in_model(self):
        """How long the call of the model that goes on has taken; 0 without one."""
        began = self._call_began
        return 0.0 if began is None else time.monotonic() - began

    async def submit(self, texts):
        """Returns the rows of the texts; raises one of the errors above."""
        if not self.running:
            raise ended()
        if self.waiting + len(texts) > self.queue_size:
            self.counts.refused_requests += 1
            raise QueueFull(
                f"{self.waiting} texts are waiting and {len(texts)} more came, "
                f"at most {self.queue_size} may wait: try again later"
            )
        loop = asyncio.get_running_loop()
        request = Waiting(texts, loop.time(), loop.create_future())
        self.counts.requests += 1
        self._queue.append(request)
        self._arrived.set()
        try:
            return await request.answer
        finally:
            self._drop(request)

    def _drop(self, request):
        """Takes a request that has ended out of the queue."""
        with contextlib.suppress(ValueError):
            self._queue.remove(request)

    async def _run(self):
        while True:
            while not self._queue:
                await self._next_arrival()
            await self._wait_for_more()
            parts = self._take()
            if parts:
                await self._answer(parts)

    async def _next_arrival(self):
        self._arrived.clear()
        await self._arrived.wait()

    async def _wait_for_more(self):
        """Returns when a batch is full or its first text has waited long enough."""
        deadline = self._queue[0].arrival + self.wait_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self.waiting < self.batch_size:
                    await self._next_arrival()

    def _take(self):
        """Pairs of a request and its next texts, together at most one batch."""
        parts, room = [], self.batch_size
        while room and self._queue:
            request = self._queue[0]
            if not request.answer.done():
                parts.append((request, request.take(room)))
                room -= len(parts[-1][1])
            if request.answer.done() or not request.left:
                self._queue.popleft()
        return parts

    async def _answer(self, parts):
        """Calls the model and hands each request its rows, or the failure."""
        self.counts.batches += 1
        try:
            rows = await self._call([text for _, texts in parts for text in texts])
        except Exception:
            LOGGER.exception("the model failed on a batch")
            self.counts.failed_batches += 1
            self._fail(parts, failed)
            return
        except BaseException:  # the batcher ends during the call
            self._fail(parts, ended)
            raise
        for request, texts in parts:
            request.add(rows[: len(texts)])
            rows = rows[len(texts) :]

    def _fail(self, parts, error):
        """Ends each request of a batch with an error of its own."""
        for request, _ in parts:
            request.fail(error())
            self._drop(request)

    async def _call(self, texts):
        self.counts.texts += len(texts)
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._executor, self._call_in_thread, texts)
        if len(rows) != len(texts):
            raise ValueError(f"{len(texts)} rows were expected, {len(rows)} came")
        return rows

    def _call_in_thread(self, texts):
        self._call_began = time.monotonic()
        try:
            return self._predict(texts)
        finally:
            self._call_began = None
