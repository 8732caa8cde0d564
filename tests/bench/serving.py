"""Requests a second and latency of the embedded server beside the same SavedModel in process.

    python -m tests.bench.serving [--name ssd_mobilenet_v1] [--size 300] [--rounds 3]

Exports the network with random weights, serves it in a process of its own, and asks at batch 1 with
1 client (the ways alternate call by call, so that what else runs here slows them alike) and with 4
client threads (the ways alternate over the rounds). Prints one JSON line; `added` compares medians.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

SERVE = (
    "import sys; from convoy.serving import server; "
    "server.serve(sys.argv[1], port=0, rest_api_port=0, name='bench')"
)


def picture(seed: int) -> bytes:
    """A JPEG of 375 x 500 pixels, of smooth colours."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (12, 16, 3))
    image = tf.cast(tf.image.resize(coarse, (375, 500), "bicubic"), tf.uint8)
    return tf.io.encode_jpeg(image).numpy()


def timed(calls: list[Callable[[], object]], seconds: float) -> list[float]:
    """Latencies in ms of every call, one thread for each of `calls`, for so many seconds."""
    found: list[float] = []
    end = time.perf_counter() + seconds

    def work(call):
        while (before := time.perf_counter()) < end:
            call()
            found.append(1000 * (time.perf_counter() - before))

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def alternate(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Latencies in ms of one client that asks each way in turn, for so many seconds in all."""
    found: dict[str, list[float]] = {way: [] for way in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for way, call in calls.items():
            before = time.perf_counter()
            call()
            found[way].append(1000 * (time.perf_counter() - before))
    return found


def measure(base: pathlib.Path, ports: tuple[int, int], rounds: int, seconds: float) -> dict:
    """{way: {clients: numbers}}; every round asks each way once."""
    from convoy.serving import client

    samples = [picture(seed) for seed in range(4)]
    local = client.load_local(base)
    found: dict[tuple[str, int], list[list[float]]] = {}

    def grpc_call(i):
        channel = client.grpc_channel(f"127.0.0.1:{ports[0]}")
        return lambda: client.predict_grpc(channel, "bench", [samples[i]])

    def rest_call(i):
        connection = client.rest_connection(f"127.0.0.1:{ports[1]}")
        return lambda: client.predict_rest(connection, "bench", [samples[i]])

    ways = {
        "in_process": lambda i: lambda: local([samples[i]]),
        "grpc": grpc_call,
        "rest": rest_call,
    }
    one = {way: make(0) for way, make in ways.items()}
    for turn in range(rounds + 1):
        singles = alternate(one, 3 * seconds)
        for way, make in ways.items():
            many = timed([make(i) for i in range(4)], seconds)
            if turn:  # the first round warms up
                found.setdefault((way, 1), []).append(singles[way])
                found.setdefault((way, 4), []).append(many)
    result: dict = {}
    for (way, clients), runs in found.items():
        p50, p99 = (
            statistics.median(np.percentile(times, at) for times in runs) for at in (50, 99)
        )
        per_s = statistics.median(len(times) / seconds for times in runs)
        result.setdefault(way, {})[str(clients)] = {
            "per_s": round(1000 / p50 if clients == 1 else per_s, 1),
            "p50_ms": round(float(p50), 2),
            "p99_ms": round(float(p99), 2),
        }
    return result


def main() -> None:
    """Exports, serves, measures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", default="ssd_mobilenet_v1")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--score_threshold", type=float, default=0.3)
    options = parser.parse_args()

    from convoy import models
    from convoy.serving.export import export

    size = (options.size, options.size)
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder, "bench")
        base.mkdir()
        report = export(
            models.build_task(options.name, num_classes=20, input_size=size),
            base / "1",
            labels=[f"class {i}" for i in range(20)],
            input_size=size,
            samples=[picture(seed) for seed in range(2)],
            score_threshold=options.score_threshold,
        )
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(base)], stdout=subprocess.PIPE, text=True
        )
        try:
            words = process.stdout.readline().replace(",", "").split()
            ports = int(words[words.index("gRPC") + 3]), int(words[-1])
            result = measure(base, ports, options.rounds, options.seconds)
        finally:
            process.terminate()
            process.wait()
    one = {way: numbers["1"]["p50_ms"] for way, numbers in result.items()}
    added = {f"{way}_added": round(one[way] / one["in_process"] - 1, 4) for way in ("grpc", "rest")}
    forms = {form: entry["median_ms"] for form, entry in report["forms"].items()}
    line = {"network": options.name, "size": options.size, "chosen": report["chosen"]}
    print(json.dumps({**line, "forms_ms": forms, **added, **result}))


if __name__ == "__main__":
    main()
