"""Latency of `convoy serve` at batch 1, JPEG to answer, beside OpenVINO and decoding alone.

    python -m tests.bench.engines [--names mobilenet_v1,resnet50] [--seconds 20]

Networks with random weights at 224, exported as they are; a JPEG of 375 x 500 pixels. The ways
alternate call by call: gRPC to a server with --engine tensorflow, to one with --engine openvino
(each a process of its own), OpenVINO's network in bfloat16 behind TensorFlow's decoding and
resizing in this process, and the model behind the engine without gRPC. One JSON line per network;
`ratio` is the server with OpenVINO by the reference, medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import pathlib
import statistics
import subprocess
import sys
import tempfile

import tensorflow as tf

from tests.bench.serving import alternate, picture

SERVE = (
    "import logging, sys; logging.basicConfig(level='INFO'); from convoy.serving import server; "
    "server.serve(sys.argv[1], port=0, rest_api_port=0, name='bench', engine=sys.argv[2])"
)
SIZE = (224, 224)


def reference(base: pathlib.Path):
    """What somebody would write by hand: JPEG -> resized picture -> OpenVINO in bfloat16."""
    from convoy.serving import parts
    from convoy.serving.runtimes import openvino
    from convoy.serving.servable import DEFAULT, Servable

    servable = Servable(base / "1")
    network = parts.split(servable.call(DEFAULT)).network
    (precision, *_) = openvino.precisions(("bf16", "f32"))
    names = [spec.name for spec in network.outputs]
    run = openvino.compiled(openvino.read(network), names, precision)

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def prepare(data):
        image = tf.io.decode_jpeg(data, 3)
        return tf.image.resize(image, SIZE)[None]

    return lambda data: run(prepare(tf.constant(data)).numpy())


def inside(base: pathlib.Path):
    """The model behind its engine, without a server."""
    from convoy.serving import engines
    from convoy.serving.servable import Servable

    servable = Servable(base / "1")
    engines.settle(servable, "openvino")
    return lambda data: servable.run("", {"image_bytes": tf.constant([data])})


def measure(name: str, seconds: float) -> dict:
    """Medians in ms by way."""
    from convoy import models
    from convoy.serving import client, export

    task = models.build_task(name, num_classes=1000, input_size=SIZE)
    sample = picture(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        base = pathlib.Path(folder, "bench")
        labels = [str(number) for number in range(1000)]
        export.export(task, base / "1", labels=labels, input_size=SIZE, samples=[sample])
        report = json.loads((base / "1/assets.extra/export_report.json").read_text())
        calls = {"reference": lambda: hand(sample), "engine": lambda: engine(sample)}
        hand, engine = reference(base), inside(base)
        for kind in ("tensorflow", "openvino"):
            process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(base), kind], stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            port = process.stdout.readline().split("port ")[1].split(",")[0]
            channel = stack.enter_context(client.grpc_channel(f"127.0.0.1:{port}"))
            calls[kind] = lambda channel=channel: client.predict_grpc(channel, "bench", [sample])
        alternate(calls, seconds / 4)  # warms up
        found = {way: statistics.median(t) for way, t in alternate(calls, seconds).items()}
    return {
        "network": name,
        "form": report["chosen"],
        **{f"{way}_ms": round(value, 2) for way, value in found.items()},
        "ratio": round(found["openvino"] / found["reference"], 2),
        "ratio_without_grpc": round(found["engine"] / found["reference"], 2),
        "tensorflow_ratio": round(found["tensorflow"] / found["reference"], 2),
    }


def main() -> None:
    """Measures each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", default="mobilenet_v1,resnet50")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    logging.basicConfig(level="WARNING")
    for name in options.names.split(","):
        print(json.dumps(measure(name, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
