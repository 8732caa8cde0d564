"""What the trainer adds to a training step: our loop against a bare tf.function on one tensor.

    python -m tests.bench.trainer [--steps 20] [--repeats 5]

Prints one JSON line. Both run mobilenet_v1 (96 px, batch 32, float32) with SGD and momentum, with
equal weights. The bare step sees one batch in memory for ever. Ours is the trainer's step under
Orbit's controller, with metrics; "in_memory" feeds it batches of the real input pipeline that were
kept, "from_records" reads and decodes small pictures while it trains. Variants alternate; the
numbers are medians of seconds a step.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import orbit
import tensorflow as tf

from convoy import models
from convoy.data import example, tfrecord
from convoy.data.images import images
from convoy.data.input.input import Stream, training_batches
from convoy.data.sample import Sample
from convoy.pipeline.config import Train
from convoy.pipeline.training import loop, optimizers, step

BATCH, SIDE, CLASSES = 32, 96, 10
PARAMS = Train(batch_size=BATCH, optimizer="momentum", learning_rate=0.01)


def generate(folder: pathlib.Path, count: int = 256) -> None:
    """Records of `count` noisy pictures of the network's own size."""
    rng = np.random.default_rng(0)
    with open(folder / "train-00000-of-00001.tfrecord", "wb") as file:
        for index in range(count):
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            picture = images.encode(pixels, "jpeg")
            labels = np.array([index % CLASSES])
            sample = Sample(f"p{index}", "train", picture, SIDE, SIDE, labels=labels)
            tfrecord.write(file, example.encode(sample, [str(i) for i in range(CLASSES)]))
    manifest = {"splits": {"train": {"records": count}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def network():
    """The task and its optimizer, equal at each call."""
    keras.utils.set_random_seed(0)
    task = models.build_task("mobilenet_v1", num_classes=CLASSES, input_size=(SIDE, SIDE))
    optimizer = optimizers.build(PARAMS, total_steps=100_000, steps_per_epoch=8)
    optimizer.build(task.model.trainable_variables)
    return task, optimizer


def bare(batch: dict):
    """Runs a number of plain steps: no losses by name, no strategy, no controller."""
    task, optimizer = network()
    image, label = batch["image"], batch["targets"]["label"]

    @tf.function
    def one():
        with tf.GradientTape() as tape:
            logits = task.model(image, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits)
            )
        weights = task.model.trainable_variables
        optimizer.apply(tape.gradient(loss, [v.value for v in weights]), weights)
        return loss

    def run(steps: int) -> float:
        for _ in range(steps):
            loss = one()
        return float(loss)

    return run


def ours(batches):
    """Runs a number of steps as `loop.train` does: Orbit's controller, means of the losses."""
    task, optimizer = network()
    strategy = tf.distribute.get_strategy()
    controller = orbit.Controller(
        global_step=optimizer.iterations.value,
        trainer=loop.Trainer(
            step.build(task, optimizer, PARAMS, strategy),
            batches,
            optimizers.rate_of(optimizer),
            0,
            [],
        ),
        strategy=strategy,
        steps_per_loop=PARAMS.log_steps,
    )

    def run(steps: int) -> float:
        target = int(optimizer.iterations.numpy()) + steps
        with contextlib.redirect_stdout(io.StringIO()):
            return loop._run_until(controller, target)["loss"]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        generate(pathlib.Path(name))
        task, _ = network()
        stream = Stream(
            records=pathlib.Path(name),
            split="train",
            fields=("labels",),
            preprocess=task.info.preprocess,
            encode=task.encode,
            batch_size=BATCH,
        )
        batches = training_batches(stream)
        kept = batches.take(4).cache().repeat()
        variants = {
            "bare": bare(next(iter(batches))),
            "in_memory": ours(kept),
            "from_records": ours(batches),
        }
        times: dict[str, list[float]] = {key: [] for key in variants}
        cpu: dict[str, list[float]] = {key: [] for key in variants}
        for run in variants.values():
            run(5)  # traces, fills the cache
        for _ in range(options.repeats):
            for key, run in variants.items():
                started, used = time.perf_counter(), time.process_time()
                run(options.steps)
                times[key].append((time.perf_counter() - started) / options.steps)
                cpu[key].append((time.process_time() - used) / options.steps)
    seconds = {key: statistics.median(values) for key, values in times.items()}
    processor = {key: statistics.median(values) for key, values in cpu.items()}
    line = {
        "cores": os.cpu_count(),
        "milliseconds_a_step": {k: round(v * 1e3, 2) for k, v in seconds.items()},
        "cpu_milliseconds_a_step": {k: round(v * 1e3, 2) for k, v in processor.items()},
        "added": _added(seconds),
        "added_cpu": _added(processor),
    }
    print(json.dumps(line))


def _added(values: dict[str, float]) -> dict[str, float]:
    return {k: round(v / values["bare"] - 1, 4) for k, v in values.items() if k != "bare"}


if __name__ == "__main__":
    main()
