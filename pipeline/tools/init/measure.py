"""Steps of a proposed training on this machine: what they take of memory and of time.

A child process trains by the recipe for a few steps on some records of the data set, backward pass
and optimizer included; its peak is read when it is done. Where it dies, the batch was too large.

python -m convoy.pipeline.tools.init.measure ARGUMENTS
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from convoy.data import example, labels, tfrecord
from convoy.pipeline import config
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.tools.init.look import Look

STEPS = 8
PART = 0.6  # of the free memory, that a training may take
WAIT_S = 400.0  # for the child
TRIES = 4


class Measured(NamedTuple):
    """batch: that fits. seconds: of a step, None where it could not be measured, and why."""

    batch: int
    seconds: float | None = None
    peak: int = 0  # bytes
    why: str = ""


def fitting(raw: dict[str, Any], seen: Look, memory: int, tell: Callable[[str], None]) -> Measured:
    """The recipe's batch, or the half of it, and so on, until it fits into `memory` bytes."""
    batch = raw["train"]["batch_size"]
    with tempfile.TemporaryDirectory(prefix="convoy-init-") as folder:
        records = pathlib.Path(folder) / "records"
        write(seen, records)
        for _ in range(TRIES):
            tell(f"measuring {STEPS} steps of {batch} in a process of its own")
            found, why = _child({"records": str(records), "recipe": _shortened(raw, batch, seen)})
            if found and found["peak"] <= PART * memory:
                return Measured(batch, found["seconds"], found["peak"])
            if found:
                why = f"{batch} at a time take {found['peak'] / 2**30:.1f} GiB"
            elif not why.startswith("memory"):
                return Measured(batch, why=why)
            tell(f"{why}, of {memory / 2**30:.1f} GiB that are free")
            if batch == 1:
                break
            batch //= 2
    return Measured(batch, why=f"too large for this machine: {why}")


def write(seen: Look, folder: pathlib.Path) -> None:
    """Records of the samples that were read, as far as a training reads them."""
    folder.mkdir(parents=True)
    with open(folder / f"{seen.train}-00000-of-00001.tfrecord", "wb") as file:
        for sample in seen.samples:
            tfrecord.write(file, example.encode(sample, seen.labels))
    counts = {"records": len(seen.samples), "images_by_class": {}, "objects_by_class": {}}
    manifest = {
        "format": seen.format,
        "splits": {seen.train: counts},
        "params": seen.params.model_dump(mode="json"),
        "keypoints": list(seen.keypoints),
        "keypoint_pairs": [list(pair) for pair in seen.keypoint_pairs],
    }
    write_json(folder / "manifest.json", manifest)
    for name in ("labels", "segmentation_labels", "keypoints"):
        if values := getattr(seen, name):
            labels.write(folder / f"{name}.txt", values)


def _shortened(raw: dict[str, Any], batch: int, seen: Look) -> dict[str, Any]:
    """The recipe for a few steps of everything, from random weights: what is slowest of it."""
    epochs = STEPS * batch / len(seen.samples)
    train = {**raw["train"], "mode": "scratch", "stages": [], "batch_size": batch}
    train.update(epochs=epochs, log_steps=1, warmup_epochs=0.0, shuffle_buffer=64, ema=None)
    data = {**raw["data"], "val": None, "test": seen.train}
    data.pop("labels", None)  # the records have all
    return {**raw, "data": data, "train": train, "model": {**raw["model"], "weights": None}}


def _child(arguments: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """(what it measured, ""), or (None, why not: "memory ..." where that was it)."""
    command = [sys.executable, "-m", __name__, json.dumps(arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        return None, f"{STEPS} steps took more than {WAIT_S:.0f} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    last = (done.stderr.strip().splitlines() or ["no word of why"])[-1][:300]
    words = ("ResourceExhausted", "OOM when", "out of memory", "MemoryError", "bad_alloc")
    if done.returncode < 0 or any(word in done.stderr for word in words):
        return None, f"memory: the process ended with {done.returncode}"
    return None, last


def main(text: str) -> None:
    """In the child: trains, and prints {"seconds": of a step, "peak": bytes}."""
    from convoy.pipeline.components import trainer

    arguments = json.loads(text)
    recipe = config.parse(arguments["recipe"])
    with _quiet(), tempfile.TemporaryDirectory(prefix="convoy-init-") as folder:
        workdir = pathlib.Path(folder)
        records = {"examples": pathlib.Path(arguments["records"])}
        trainer.run(records, trainer.params_of(recipe), workdir)
        rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    steps = [row["seconds"] for row in rows if row["kind"] == "train"][2:]  # without the first
    print(json.dumps({"seconds": statistics.median(steps), "peak": _peak()}))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard output but the result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _peak() -> int:
    """Bytes: of the GPU where there is one, else of the process."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main(sys.argv[1])
