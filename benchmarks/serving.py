"""Requests a second and latencies of served models, on this machine alone.

    python benchmarks/serving.py exported_aligned exported_plain \\
        --output benchmarks/RESULTS.md

starts `examples/serving/serve.py` for each exported folder. The clients, all in this
process, each send the next request when the last one is answered. They load one server
after the other, in rounds, so that what else the machine does falls on all of them, and
in every second round in the opposite order; the ratio is the median over the rounds,
with its range, and the latencies are those of all rounds.
"""

import argparse
import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

import numpy as np
import results_file

SERVE = pathlib.Path(__file__).parents[1] / "examples" / "serving" / "serve.py"
WORDS = """a the this that film plot scene actor story music camera ending dialogue
good bad fine dull bright slow quick funny sad very hardly never always is was seems
feels and but with without of in to"""


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("folders", nargs="+", type=pathlib.Path, help="exported; the last: the plain")
    add("--seconds", type=float, default=20.0, help="of load, for each folder")
    add("--rounds", type=int, default=5, help="how many the seconds are divided into")
    add("--clients", type=int, default=8, help="requests at the same time")
    add("--texts", type=int, default=1, help="texts in a request")
    add("--words", type=int, default=20, help="words in a text")
    add("--batch-size", type=int, default=32, help="of the server")
    add("--batch-wait-ms", type=int, default=5, help="of the server")
    results_file.add_output(parser)
    return parser.parse_args(arguments)


@contextlib.contextmanager
def serving(folder, options):
    """Starts a server on a free port; yields its host and port."""
    command = [sys.executable, SERVE, folder, "--port", 0]
    command += ["--batch-size", options.batch_size]
    command += ["--batch-wait-ms", options.batch_wait_ms]
    command = [str(part) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"error: {folder} is not served, see above")
        host, port = line.split("//")[-1].strip().rsplit(":", 1)
        yield host, int(port)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def requests(options, seed):
    """Endless requests with random sentences."""
    draw, words = random.Random(seed), WORDS.split()
    bodies = []
    for _ in range(200):
        texts = [
            " ".join(draw.choices(words, k=options.words)) for _ in range(options.texts)
        ]
        body = json.dumps({"texts": texts}).encode()
        head = (
            "POST /predict HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        bodies.append(head.encode() + body)
    return itertools.cycle(bodies)


async def answer(reader):
    """Reads a response; returns its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *([0-9]+)", head)[1]
    body = await reader.readexactly(int(length))
    if not head.startswith(b"HTTP/1.1 200"):
        status, _ = head.split(b"\r\n", 1)
        sys.exit(f"error: the server answered {status!r}: {body!r}")
    return body


async def client(address, bodies, end):
    """Sends one request after the other; returns their seconds."""
    reader, writer = await asyncio.open_connection(*address)
    seconds = []
    while (begin := time.perf_counter()) < end:
        writer.write(next(bodies))
        await answer(reader)
        seconds.append(time.perf_counter() - begin)
    writer.close()
    await writer.wait_closed()
    return seconds


async def load(address, options, seconds, seed):
    """Loads one server; returns requests a second and each one's seconds."""
    begin = time.perf_counter()
    end = begin + seconds
    clients = [
        client(address, requests(options, f"{seed} {number}"), end)
        for number in range(options.clients)
    ]
    async with asyncio.timeout(seconds + 60):
        latencies = np.concatenate(await asyncio.gather(*clients))
    return len(latencies) / (time.perf_counter() - begin), latencies


async def measure(addresses, options):
    """Rates of the rounds, and the latencies of all of them, for each server."""
    rates, latencies = ([[] for _ in addresses] for _ in range(2))
    for address in addresses:
        await load(address, options, 1.0, "warm-up")
    for number in range(options.rounds):
        order = [*enumerate(addresses)][:: -1 if number % 2 else 1]
        for index, address in order:
            seconds = options.seconds / options.rounds
            rate, found = await load(address, options, seconds, number)
            rates[index].append(rate)
            latencies[index].append(found)
    return np.array(rates), [np.concatenate(each) for each in latencies]


def labels(folders):
    """What the folders are called: their names, or their paths where these are one."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [str(folder) for folder in folders]


def table(options, rates, latencies):
    """The results as a Markdown table."""
    names = labels(options.folders)
    head = ["model", "requests/s", "p50, ms", "p99, ms"]
    lines = [[*head, f"requests/s over {names[-1]}"], ["---"] * (len(head) + 1)]
    for index, name in enumerate(names):
        p50, p99 = 1000 * np.percentile(latencies[index], [50, 99])
        ratios = rates[index] / rates[-1]
        cells = [name, f"{rates[index].mean():.1f}", f"{p50:.1f}", f"{p99:.1f}"]
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        lines.append([*cells, spread])
    text = results_file.table(lines)
    return f"{settings(options)}\n\n{text}\n"


def settings(options):
    """What was measured, in a sentence."""
    return (
        f"{options.clients} clients, {options.texts} text(s) of {options.words} words "
        f"a request, batches of up to {options.batch_size} after "
        f"{options.batch_wait_ms} ms, {options.seconds:g} seconds each in "
        f"{options.rounds} rounds; {os.cpu_count()} cores shared with the clients, "
        f"tensorflow {importlib.metadata.version('tensorflow')}:"
    )


def main(arguments=None):
    options = parse_arguments(arguments)
    with contextlib.ExitStack() as stack:
        addresses = [
            stack.enter_context(serving(folder, options)) for folder in options.folders
        ]
        text = table(options, *asyncio.run(measure(addresses, options)))
    print(text)
    if options.output:
        results_file.put(text, options.output, "serving.py")


if __name__ == "__main__":
    main()
