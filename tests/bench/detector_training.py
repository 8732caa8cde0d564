"""Training steps of detectors beside torchvision's, float32 and bfloat16.

    python -m tests.bench.detector_training --peers PYTHON [--rounds 7] [NETWORK@SIZExBATCH ...]

--peers: the interpreter of an environment with torch and torchvision. Each side trains the same
layout on the same pictures and objects with SGD and momentum (the peer under autocast for
bfloat16), in a process of its own; steps alternate. Prints pictures per second by medians, the
ratio ours over the peer's, and the seconds from the start of the process to the end of the first
step. torchvision's detectors take trainable BatchNorm as frozen; ours train it.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

NETWORKS = (
    "retinanet_resnet50_fpn@320x2",
    "faster_rcnn_resnet50_fpn@320x2",
    "ssd300_vgg16@300x4",
)
CLASSES = 20


def scene(size: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures uint8 [B, S, S, 3], boxes [B, 6, 4] pixels, classes [B, 6]."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (batch, size, size, 3), np.uint8)
    corner = random.uniform(0, 0.5, (batch, 6, 2))
    boxes = np.concatenate([corner, corner + random.uniform(0.1, 0.5, (batch, 6, 2))], -1) * size
    return pictures, boxes.astype("float32"), random.integers(0, CLASSES, (batch, 6))


def our_step(name: str, size: int, batch: int, precision: str):
    import keras
    import tensorflow as tf

    from convoy.pipeline.config import Model, Train
    from convoy.pipeline.networks import network
    from convoy.pipeline.training import optimizers, step

    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    train = Train(precision=policy, optimizer="momentum", learning_rate=1e-4, weight_decay=0.0)
    model = Model(name=name, input_size=(size, size))
    task = network.build(model, [f"class {i}" for i in range(CLASSES)], train)
    optimizer = optimizers.build(train, total_steps=1000, steps_per_epoch=100)
    optimizer.build(task.model.trainable_variables)
    run = step.build(task, optimizer, train, tf.distribute.get_strategy())
    pictures, boxes, classes = scene(size, batch)
    rows = [
        task.encode({"boxes": b, "classes": c, "valid": np.ones(6, bool)})
        for b, c in zip(boxes, classes, strict=True)
    ]
    targets = tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *rows)
    given = {"image": tf.constant(pictures, tf.float32), "targets": targets}
    assert keras.config.dtype_policy().name == policy
    return lambda: float(run(given)["loss"])


def peer_step(name: str, size: int, batch: int, precision: str):
    import torch
    import torchvision

    sides = {} if name.startswith("ssd") else {"min_size": size, "max_size": size}
    model = getattr(torchvision.models.detection, name)(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, **sides
    ).train()
    pictures, boxes, classes = scene(size, batch)
    images = [torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in pictures]
    targets = [
        {"boxes": torch.from_numpy(b[:, [1, 0, 3, 2]].copy()), "labels": torch.from_numpy(c) + 1}
        for b, c in zip(boxes, classes, strict=True)
    ]
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1e-4, momentum=0.9)
    half = precision == "bfloat16"

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    return run


def work(side: str, name: str, size: int, batch: int, precision: str) -> None:
    run = {"ours": our_step, "peer": peer_step}[side](name, size, batch, precision)
    assert np.isfinite(run())
    print("ready", flush=True)
    for _ in sys.stdin:
        before = time.perf_counter()
        run()
        print(time.perf_counter() - before, flush=True)


def measure(name: str, size: int, batch: int, precision: str, peers: str, rounds: int) -> dict:
    """{"pictures_per_s", "first_step_s"} of both sides and the ratio of the first."""
    workers, first, times = {}, {}, {"ours": [], "peer": []}
    words = ["--work", name, str(size), str(batch), precision]
    try:
        for side, python in (("ours", sys.executable), ("peer", peers)):
            before = time.perf_counter()
            workers[side] = subprocess.Popen(
                [python, "-m", "tests.bench.detector_training", *words, side],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=pathlib.Path(__file__).resolve().parents[2],
            )
            if not workers[side].stdout.readline():
                raise RuntimeError(f"{side} ended")
            first[side] = round(time.perf_counter() - before, 1)
        for turn in range(rounds + 1):
            for side, worker in workers.items():
                worker.stdin.write("\n")
                worker.stdin.flush()
                seconds = float(worker.stdout.readline())
                if turn:
                    times[side].append(seconds)
    finally:
        for worker in workers.values():
            worker.kill()
    rates = {side: batch / statistics.median(found) for side, found in times.items()}
    return {
        "network": name,
        "input": size,
        "batch": batch,
        "precision": precision,
        "pictures_per_s": {side: round(rate, 2) for side, rate in rates.items()},
        "ours_over_peer": round(rates["ours"] / rates["peer"], 2),
        "first_step_s": first,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--peers", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", nargs=5)
    options = parser.parse_args()
    if options.work:
        name, size, batch, precision, side = options.work
        work(side, name, int(size), int(batch), precision)
        return
    for each in options.networks:
        name, _, shape = each.partition("@")
        size, batch = map(int, shape.split("x"))
        for precision in ("float32", "bfloat16"):
            row = measure(name, size, batch, precision, options.peers, options.rounds)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
