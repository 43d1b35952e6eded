"""`examples/serving/micro_batching.py`: batches of made-up models, without a server."""

import asyncio
import threading

import micro_batching
import pytest


class Model:
    """Notes its batches; answers each text in capital letters."""

    def __init__(self):
        self.batches = []
        self.threads = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, texts):
        self.batches.append(texts)
        self.threads.add(threading.current_thread())
        assert self.go_on.wait(20)
        if "fail" in texts:
            raise RuntimeError("made to fail")
        return [text.upper() for text in texts if text != "lost"]


@pytest.fixture
def model():
    return Model()


def run(model, use, **options):
    """Runs the coroutine `use(batcher)`."""

    async def main():
        async with micro_batching.Batcher(model, **options) as batcher:
            async with asyncio.timeout(20):
                return await use(batcher)

    return asyncio.run(main())


async def wait_for(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def hold(model, batcher):
    """Has the model in a call that does not end; returns the request."""
    model.go_on.clear()
    held = asyncio.create_task(batcher.submit(["held"]))
    await wait_for(lambda: model.batches)
    return held


def test_requests_are_joined_split_and_answered_in_order(model):
    async def use(batcher):
        requests = [[f"{n}.{i}" for i in range(1 + n % 5)] for n in range(20)]
        answers = await asyncio.gather(*map(batcher.submit, requests))
        assert answers == requests  # digits have no capitals
        return batcher.counts

    counts = run(model, use, batch_size=7)
    assert [len(batch) for batch in model.batches] == [7] * 8 + [4]
    assert len(model.threads) == 1
    assert threading.current_thread() not in model.threads
    assert counts == micro_batching.Counts(requests=20, batches=9, texts=60)


def test_a_full_batch_does_not_wait(model):
    async def use(batcher):
        return await asyncio.gather(batcher.submit(["a"]), batcher.submit(["b"]))

    assert run(model, use, batch_size=2, wait_seconds=1000) == [["A"], ["B"]]


def test_a_lone_text_waits_as_long_as_said(model):
    async def use(batcher):
        begin = asyncio.get_running_loop().time()
        await batcher.submit(["a"])
        return asyncio.get_running_loop().time() - begin

    assert 0.1 <= run(model, use, wait_seconds=0.1) < 5


def test_the_loop_is_free_while_the_model_runs(model):
    async def use(batcher):
        held = await hold(model, batcher)
        others = asyncio.gather(*(batcher.submit([str(n)]) for n in range(5)))
        await wait_for(lambda: batcher.waiting == 5)
        assert batcher.seconds_in_model > 0
        model.go_on.set()
        assert await held == ["HELD"]
        assert await others == [[str(n)] for n in range(5)]
        assert batcher.seconds_in_model == 0

    run(model, use, wait_seconds=0)
    assert model.batches == [["held"], ["0", "1", "2", "3", "4"]]


@pytest.mark.parametrize("text", ["fail", "lost"])
def test_a_failure_is_of_the_requests_in_the_batch(model, text):
    async def use(batcher):
        requests = [["a"], ["b", text, "c", "d", "e", "f"], ["g"], ["h"]]
        calls = map(batcher.submit, requests)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert batcher.waiting == 0
        assert await batcher.submit(["later"]) == ["LATER"]
        return answers, batcher.counts.failed_batches

    answers, failed = run(model, use, batch_size=4)
    kinds = [type(answer) for answer in answers]
    assert kinds == [micro_batching.ModelFailed] * 2 + [list] * 2
    assert failed == 1
    # What is left of a request that failed is not predicted.
    assert model.batches == [["a", "b", text, "c"], ["g", "h"], ["later"]]


def test_a_full_queue_refuses(model):
    async def use(batcher):
        held = await hold(model, batcher)
        waiting = asyncio.create_task(batcher.submit(["a", "b", "c"]))
        await wait_for(lambda: batcher.waiting == 3)
        with pytest.raises(micro_batching.QueueFull, match="3 texts are waiting and 2"):
            await batcher.submit(["d", "e"])
        last = asyncio.create_task(batcher.submit(["d"]))
        await wait_for(lambda: batcher.waiting == 4)
        model.go_on.set()
        assert [await held, await waiting, await last] == [
            ["HELD"],
            ["A", "B", "C"],
            ["D"],
        ]
        return batcher.counts.refused_requests

    assert run(model, use, queue_size=4, wait_seconds=0) == 1


def test_a_cancelled_request_leaves_the_queue(model):
    async def use(batcher):
        held = await hold(model, batcher)
        gone = asyncio.create_task(batcher.submit(["a"] * 4))
        await wait_for(lambda: batcher.waiting == 4)
        gone.cancel()
        await asyncio.wait({gone})
        other = asyncio.create_task(batcher.submit(["b"] * 4))
        model.go_on.set()
        assert await held == ["HELD"]
        assert await other == ["B"] * 4

    run(model, use, queue_size=4, wait_seconds=0)
    assert model.batches == [["held"], ["b"] * 4]


def test_a_request_cancelled_in_the_model_harms_no_other(model):
    async def use(batcher):
        held = await hold(model, batcher)
        held.cancel()
        other = asyncio.create_task(batcher.submit(["b"]))
        await asyncio.wait({held})
        model.go_on.set()
        return await other

    assert run(model, use) == ["B"]


def test_the_end_fails_who_waits_and_refuses_who_comes(model):
    async def main():
        batcher = micro_batching.Batcher(model, wait_seconds=1000)
        with pytest.raises(micro_batching.NotRunning):
            await batcher.submit(["early"])
        async with batcher:
            assert batcher.running
            waiting = asyncio.create_task(batcher.submit(["a"]))
            await wait_for(lambda: batcher.waiting)
        with pytest.raises(micro_batching.NotRunning):
            await waiting
        with pytest.raises(micro_batching.NotRunning):
            await batcher.submit(["late"])
        assert not batcher.running

    asyncio.run(main())
    assert model.batches == []


def test_the_end_fails_who_is_in_the_model(model):
    async def main():
        async with micro_batching.Batcher(model, batch_size=2) as batcher:
            held = await hold(model, batcher)
            parts = asyncio.create_task(batcher.submit(["a"] * 3))
            await wait_for(lambda: batcher.waiting == 3)
        async with asyncio.timeout(5):
            found = await asyncio.gather(held, parts, return_exceptions=True)
        assert [type(each) for each in found] == [micro_batching.NotRunning] * 2
        model.go_on.set()

    try:
        asyncio.run(main())
    finally:
        model.go_on.set()


def test_a_batcher_that_has_ended_begins_again(model):
    batcher = micro_batching.Batcher(model)

    async def once(text):
        async with batcher:
            return await batcher.submit([text])

    async def twice():
        return [await once("a"), await once("b")]

    assert asyncio.run(twice()) == [["A"], ["B"]]
    assert asyncio.run(once("c")) == ["C"]
