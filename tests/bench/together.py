"""Pictures a second of a server with 16 clients at batch 1, each call by itself and joined.

    python -m tests.bench.together [--name mobilenet_v1] [--size 224] [--clients 16] [--rounds 5]

Beside the network's own best batch rate: the same SavedModel called in process with 1, 2, 4, 8 and
16 pictures, without a server and without clients. The ways alternate over the rounds; medians. The
clients are threads of a process of their own, on the same cores.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from tests.bench.serving import picture, timed

SERVE = (
    "import sys; from convoy.serving import batching, server; "
    "together = batching.read(__import__('pathlib').Path(sys.argv[2])) if sys.argv[2] else None; "
    "server.serve(sys.argv[1], port=0, rest_api_port=0, name='bench', together=together)"
)
PARAMETERS = (
    "max_batch_size { value: 16 } batch_timeout_micros { value: 1000 } "
    "max_enqueued_batches { value: 100 } num_batch_threads { value: 2 }"
)
BATCHES = (1, 2, 4, 8, 16)


class Serving:
    """A server in a process of its own."""

    def __init__(self, base: pathlib.Path, parameters: str):
        words = [sys.executable, "-c", SERVE, str(base), parameters]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline().replace(",", "").split()
        self.port = int(said[said.index("gRPC") + 3])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def main() -> None:
    """Exports, serves twice, measures, prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", default="mobilenet_v1")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()

    from convoy import models
    from convoy.serving import client
    from convoy.serving.export import export

    size = (options.size, options.size)
    pictures = [picture(seed) for seed in range(max(BATCHES))]
    with tempfile.TemporaryDirectory() as folder:
        base, config = pathlib.Path(folder, "bench"), pathlib.Path(folder, "batching.config")
        base.mkdir()
        config.write_text(PARAMETERS)
        export(
            models.build_task(options.name, num_classes=20, input_size=size),
            base / "1",
            labels=[f"class {i}" for i in range(20)],
            input_size=size,
            samples=pictures[:2],
        )
        local = client.load_local(base)
        servers = {"alone": Serving(base, ""), "joined": Serving(base, str(config))}
        rates: dict[str, list[float]] = {}
        try:
            channels = {
                name: [
                    client.grpc_channel(f"127.0.0.1:{server.port}") for _ in range(options.clients)
                ]
                for name, server in servers.items()
            }
            for turn in range(options.rounds + 1):
                found = {}
                for count in BATCHES:
                    times = timed([lambda n=count: local(pictures[:n])], options.seconds / 2)
                    found[f"in_process_{count}"] = count * 1000 / statistics.median(times)
                for name, each in channels.items():
                    calls = [
                        lambda c=channel, n=n: client.predict_grpc(c, "bench", [pictures[n % 16]])
                        for n, channel in enumerate(each)
                    ]
                    found[f"{name}_1"] = 1000 / statistics.median(
                        timed(calls[:1], options.seconds / 2)
                    )
                    found[name] = len(timed(calls, options.seconds)) / options.seconds
                if turn:  # the first round warms up
                    for name, rate in found.items():
                        rates.setdefault(name, []).append(rate)
        finally:
            for server in servers.values():
                server.stop()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(medians[f"in_process_{count}"] for count in BATCHES)
    line = {"network": options.name, "size": options.size, "clients": options.clients}
    ratios = {f"{name}_to_best_batch": round(medians[name] / best, 3) for name in servers}
    gains = {f"{name}_to_one_client": round(medians[name] / medians[f"{name}_1"], 2)
             for name in servers}  # fmt: skip
    rounded = {f"{name}_per_s": round(rate, 1) for name, rate in medians.items()}
    print(json.dumps({**line, **ratios, **gains, **rounded}))


if __name__ == "__main__":
    main()
