"""Latency of served detectors at batch 1 beside OpenCV's DNN, PyTorch and onnxruntime.

    python -m tests.bench.detectors [--peers PYTHON] [--rounds 15] [yolov3@416 yolov4@416 ...]

The same weights everywhere, of tests/parity's formula. Ours is the exported SavedModel in bfloat16
whole: pixels in, boxes out; the peers run the network alone, without decoding and suppression.
--peers: the interpreter of an environment with torch and onnxruntime (and onnx), which take part
if it is given. Every way is a process of its own, asked in turn; numbers are medians of the calls.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

NETWORKS = ("yolov3@416", "yolov4@416", "ssd300_vgg16@300")
PEERS = ("torch_bfloat16", "torch_float32", "onnxruntime")
CLASSES = 80


def prepare(name: str, size: int, folder: pathlib.Path) -> list[str]:
    """Writes what every way reads; returns the ways that there are without peers."""
    import keras

    from convoy import models
    from convoy.models.weights import load
    from convoy.serving import export
    from tests.models.test_parity import fill
    from tests.parity import darknet_cfg, formula

    keras.utils.set_random_seed(0)
    task = models.build_task(name, num_classes=CLASSES, input_size=(size, size))
    ways = ["convoy", "convoy_network"]
    if name.startswith("yolo"):
        cfg = darknet_cfg.cfg(name, CLASSES, size, size)
        (folder / "net.cfg").write_text(cfg)
        gain = darknet_cfg.HEAD_GAIN.get(name, 1.0)
        (folder / "net.weights").write_bytes(darknet_cfg.weights(cfg, gain))
        load.load(task.model, name, folder / "net.weights")
        ways.append("opencv")
    else:
        fill(task.model)
    picture = formula.pictures(1, size, size)
    np.save(folder / "picture.npy", picture)
    outputs = task.model(picture, training=False)
    outputs = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    np.savez(folder / "expected.npz", *map(np.asarray, outputs))
    dump(task.model, folder)
    limits = {"score_threshold": 0.3, "iou_threshold": 0.45, "max_detections": 100}
    labels = [f"class {index}" for index in range(CLASSES)]
    bare = dataclasses.replace(task, decode=undecoded)
    for each, way in ((task, "convoy"), (bare, "convoy_network")):
        build = {"labels": labels, "input_size": (size, size), **limits}
        export.save(each, folder / way, "frozen_bfloat16", **build)
    return ways


def undecoded(outputs, **_):
    """One detection that every output goes into, so that nothing of the network is left out."""
    import tensorflow as tf

    flat = [
        tf.reshape(tf.cast(x, tf.float32), (tf.shape(x)[0], -1)) for x in tf.nest.flatten(outputs)
    ]
    total = tf.reduce_sum(tf.concat(flat, axis=1), axis=1, keepdims=True)
    return {
        "boxes": total[:, None] + tf.zeros((1, 1, 4)),
        "scores": total,
        "classes": tf.zeros_like(total, tf.int64),
        "valid": tf.ones_like(total, tf.bool),
    }


def dump(model, folder: pathlib.Path) -> None:
    """graph.json and weights.npz, which tests/bench/torch_twin.py runs."""
    import tensorflow as tf

    from convoy.models.keras_internals import calls

    listed, arrays = [], {}
    for layer, inputs, (output,) in calls(model):
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        row = {"kind": kind, "name": layer.name.replace(".", "_"), "output": output.name}
        row["inputs"] = [tensor.name for tensor in inputs]
        listed.append({**row, **settings(layer)})
        for weight in layer.weights:
            arrays[f"{row['name']}__{weight.name}"] = weight.numpy()
    outputs = [tensor.name for tensor in tf.nest.flatten(list(model.outputs))]
    graph = {"calls": listed, "image": model.inputs[0].name, "outputs": outputs}
    (folder / "graph.json").write_text(json.dumps(graph))
    np.savez(folder / "weights.npz", **arrays)


def settings(layer) -> dict:
    """What a layer's arithmetic depends on, by the names of torch_twin.py."""
    import keras

    kind = type(layer).__name__
    if kind == "Conv2D":
        return {
            "strides": layer.strides,
            "rates": layer.dilation_rate,
            "padding": layer.padding,
            "groups": layer.groups,
            "activation": keras.activations.serialize(layer.activation),
        }
    if kind == "MaxPooling2D":
        return {"pool": layer.pool_size, "strides": layer.strides, "padding": layer.padding}
    names = {
        "Normalize": {
            "scale": "scale",
            "mean": "mean",
            "std": "std",
            "channel_order": "channel_order",
        },
        "BatchNorm": {"epsilon": "epsilon"},
        "L2Normalization": {"epsilon": "epsilon"},
        "LeakyReLU": {"slope": "negative_slope"},
        "ZeroPadding2D": {"sides": "padding"},
        "UpSampling2D": {"size": "size"},
        "Concatenate": {"axis": "axis"},
        "Reshape": {"shape": "target_shape"},
    }
    return {key: getattr(layer, attribute) for key, attribute in names.get(kind, {}).items()}


def work(way: str, folder: pathlib.Path) -> None:
    """A way that needs no peers: one line of milliseconds for each line that it reads."""
    picture = np.load(folder / "picture.npy")
    if way == "opencv":
        import cv2

        net = cv2.dnn.readNetFromDarknet(str(folder / "net.cfg"), str(folder / "net.weights"))
        net.setInput(np.ascontiguousarray((picture / 255).transpose(0, 3, 1, 2)))
        names = net.getUnconnectedOutLayersNames()

        def call():
            return net.forward(names)

    else:
        import tensorflow as tf

        loaded = tf.saved_model.load(str(folder / way))
        served, image = loaded.signatures["serving_tensor"], tf.constant(np.uint8(picture))

        def call():
            return {name: value.numpy() for name, value in served(image=image).items()}

    call()
    print("ready", flush=True)
    for _ in sys.stdin:
        before = time.perf_counter()
        call()
        print(1000 * (time.perf_counter() - before), flush=True)


def measure(name: str, size: int, peers: str, rounds: int, folder: pathlib.Path) -> dict:
    """Medians in ms, ours as a share of each, and how far a peer's outputs are from float32's."""
    ways = prepare(name, size, folder)
    twin = str(pathlib.Path(__file__).with_name("torch_twin.py"))
    commands = {
        way: [sys.executable, "-m", "tests.bench.detectors", "--work", way, str(folder)]
        for way in ways
    } | ({way: [peers, twin, way, str(folder)] for way in PEERS} if peers else {})
    workers, times = {}, {way: [] for way in commands}
    try:
        for way, command in commands.items():
            workers[way] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            workers[way].stdout.readline()  # it is ready
        for turn in range(rounds + 2):
            for way, worker in workers.items():
                worker.stdin.write("\n")
                worker.stdin.flush()
                if not (line := worker.stdout.readline()):
                    raise RuntimeError(f"{way} ended")
                if turn >= 2:  # the first calls warm up
                    times[way].append(float(line))
    finally:
        for worker in workers.values():
            worker.kill()
    result = {"ms": {way: round(statistics.median(found), 1) for way, found in times.items()}}
    result["convoy_over"] = {
        way: round(statistics.median(np.divide(times["convoy"], found)), 3)
        for way, found in times.items()
        if way != "convoy"
    }
    result["largest_difference"] = {
        way: apart(folder / "expected.npz", folder / f"{way}.npz") for way in PEERS if peers
    }
    return result


def apart(expected: pathlib.Path, found: pathlib.Path) -> float:
    """The largest difference as a share of the largest output."""
    with np.load(expected) as a, np.load(found) as b:
        pairs = [(a[name], b[name]) for name in a.files]
    return float(f"{max(np.abs(x - y).max() / np.abs(x).max() for x, y in pairs):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--peers", default="")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", nargs=2)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], pathlib.Path(options.work[1]))
        return
    for each in options.networks:
        name, _, size = each.partition("@")
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, int(size), options.peers, options.rounds, pathlib.Path(folder))
        print(json.dumps({"network": name, "size": int(size), **found}), flush=True)


if __name__ == "__main__":
    main()
