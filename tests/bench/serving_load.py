"""The embedded server under a mixed load, for as long as is asked.

    python -m tests.bench.serving_load [--minutes 30] [--name mobilenet_v1] [--size 224]

Four good clients, two per protocol, ask twice a second each: at first alone, for a tenth of the
time, then beside clients that send what is malformed, pictures of too many pixels, bodies that are
too large, bodies byte by byte, and that hang up; every minute a new version appears and the oldest
goes. Prints one JSON line: failed good requests, memory in the first and the last quarter, p99 of
the good requests beside that of the quiet time, and how the others were answered.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import psutil

from convoy.models import registry
from convoy.serving import client, export
from tests.bench.serving import SERVE, picture
from tests.serving.test_hostile import bomb
from tests.serving.test_malformed import by_grpc, by_rest
from tests.serving.test_server import b64

PAUSE_S = 0.5
HEAD = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
VERSIONS = 2  # that stay on disk


def main(minutes: float, name: str, size: int) -> dict:
    """Serves, asks, and says what came of it."""
    with tempfile.TemporaryDirectory() as top:
        base = pathlib.Path(top, "m")
        first = pathlib.Path(top, "first")
        task = registry.build_task(name, num_classes=10, input_size=(size, size))
        labels = [f"c{index}" for index in range(10)]
        export.export(
            task,
            first,
            name="m",
            labels=labels,
            input_size=(size, size),
            samples=[picture(seed) for seed in range(3)],
        )
        shutil.copytree(first, base / "1")
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE.replace("bench", "m"), base],
            stdout=subprocess.PIPE,
            text=True,
        )
        ports = [int(word) for word in server.stdout.readline().replace(",", "").split()
                 if word.isdigit()]  # fmt: skip
        try:
            return measured(minutes * 60, ports, base, first, psutil.Process(server.pid))
        finally:
            server.terminate()
            server.wait()


def measured(seconds: float, ports: list[int], base, first, process: psutil.Process) -> dict:
    """The load itself. ports: gRPC's and REST's."""
    good = [by_protocol(ports, way) for way in ("grpc", "grpc", "rest", "rest")]
    quiet, failed = [], []
    together([lambda ask=ask: paced(ask, seconds / 10, quiet, failed) for ask in good])
    asked, others, memory = [], collections.Counter(), []
    end = time.monotonic() + seconds
    noise = {"malformed": malformed, "pixels": pixels, "bytes": body, "slow": slow, "gone": gone}
    together(
        [lambda ask=ask: paced(ask, seconds, asked, failed) for ask in good]
        + [lambda n=n, f=f: noisy(n, f, ports, end, others) for n, f in noise.items()]
        + [lambda: swap(base, first, end), lambda: watch(process, end, memory)]
    )
    quarter = len(memory) // 4
    early, late = statistics.median(memory[:quarter]), statistics.median(memory[-quarter:])
    p99 = [statistics.quantiles(times, n=100)[98] for times in (quiet, asked)]
    return {
        "minutes": seconds / 60,
        "good requests": len(asked) + len(quiet),
        "failed good requests": len(failed),
        "first failure": failed[0] if failed else "",
        "memory MB, first and last quarter": [round(early), round(late)],
        "growth": round(late / early - 1, 4),
        "p99 ms, quiet and loaded": [round(value, 1) for value in p99],
        "ratio": round(p99[1] / p99[0], 2),
        "others": dict(sorted(others.items())),
        "versions": max(int(path.name) for path in base.iterdir() if path.name.isdigit()),
    }


def together(works: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_protocol(ports: list[int], way: str) -> Callable[[], object]:
    images = [picture(3)]
    if way == "grpc":
        channel = client.grpc_channel(f"127.0.0.1:{ports[0]}")
        return lambda: client.predict_grpc(channel, "m", images)
    connection = client.rest_connection(f"127.0.0.1:{ports[1]}")
    return lambda: client.predict_rest(connection, "m", images)


def paced(ask, seconds: float, times: list[float], failed: list[str]) -> None:
    """Asks every PAUSE_S; adds each answer's milliseconds, and what failed."""
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        try:
            ask()
            times.append(1000 * (time.monotonic() - begun))
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}")
        time.sleep(max(0.0, begun + PAUSE_S - time.monotonic()))


def noisy(name: str, act, ports: list[int], end: float, others: collections.Counter) -> None:
    """Acts once a second; counts what came of it."""
    for turn in itertools.count():
        if time.monotonic() > end:
            return
        try:
            others[f"{name}: {act(ports, turn)}"] += 1
        except Exception as error:
            others[f"{name}: {type(error).__name__}: {str(error)[:99]}"] += 1
        time.sleep(1)


def malformed(ports: list[int], turn: int) -> str:
    by_rest(ports[1], 2, seed=turn)
    with client.grpc_channel(f"127.0.0.1:{ports[0]}") as channel:
        by_grpc(channel, 2, seed=turn)
    return "answered"


def pixels(ports: list[int], turn: int) -> str:
    return refusal(lambda c: client.predict_rest(c, "m", [bomb(23_000)]), ports)


def body(ports: list[int], turn: int) -> str:
    with raw(ports) as one:
        one.sendall(HEAD % 10**9)
        return one.recv(100).split()[1].decode()


def refusal(ask, ports: list[int]) -> str:
    connection = client.rest_connection(f"127.0.0.1:{ports[1]}")
    try:
        ask(connection)
    except client.RequestFailed as error:
        return str(error.code)
    finally:
        connection.close()
    return "200"


def slow(ports: list[int], turn: int) -> str:
    """A body whose bytes come one by one, and never all."""
    with raw(ports) as one:
        one.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
        for _ in range(20):
            one.sendall(b"{")
            time.sleep(0.2)
    return "cut"


def gone(ports: list[int], turn: int) -> str:
    """A whole request, of which the answer is not waited for."""
    document = json.dumps({"instances": [b64(picture(random.Random(turn).randrange(9)))]}).encode()
    with raw(ports) as one:
        one.sendall(HEAD % len(document) + document)
    return "cut"


def raw(ports: list[int]) -> contextlib.AbstractContextManager[socket.socket]:
    return socket.create_connection(("127.0.0.1", ports[1]), timeout=60)


def swap(base: pathlib.Path, first: pathlib.Path, end: float) -> None:
    """A new version every minute; of the old ones VERSIONS stay."""
    for number in itertools.count(2):
        time.sleep(max(0.0, min(60, end - time.monotonic())))
        if time.monotonic() >= end - 10:
            return
        shutil.copytree(first, base / ".next")
        os.rename(base / ".next", base / str(number))
        if number > VERSIONS:
            shutil.rmtree(base / str(number - VERSIONS))


def watch(process: psutil.Process, end: float, memory: list[float]) -> None:
    """The server's resident megabytes, every second."""
    while time.monotonic() < end:
        memory.append(process.memory_info().rss / 1e6)
        time.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--name", default="mobilenet_v1")
    parser.add_argument("--size", type=int, default=224)
    print(json.dumps(main(**vars(parser.parse_args()))))
