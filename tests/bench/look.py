"""`convoy look` on many records: the index, the first paint, a filter, the server's memory.

    python -m tests.bench.look [RECORDS] [--folder DIR]

Records of 32 px JPEGs with a few boxes each are written by our own writer, then a server is started
as a user starts it. First paint: the page, its style and scripts, the first answer and the pictures
of the first screen, one after another. Chromium draws them in a few milliseconds more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
from PIL import Image

from convoy.data import example, labels, tfrecord
from convoy.data.sample import Sample
from convoy.models.tasks import TASKS
from convoy.pipeline.evaluation import worst
from convoy.pipeline.look.index import places

CLASSES = tuple(f"class {k}" for k in range(20))
SHARDS = 8
FIRST_SCREEN = 24  # pictures
FALSE = 8  # detections of nothing in each picture
TASK = next(name for name, row in TASKS.items() if row.tiles == "boxes")
FILTERS = ("class=3", "class=3&size=small", "split=val&count=4-7", "find=0042", "duplicates=yes")


def write(folder: pathlib.Path, count: int) -> None:
    """Nine tenths in "train", the rest in "val"."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    splits = {"train": count - count // 10, "val": count // 10}
    told = {}
    for split, number in splits.items():
        names = [f"{split}-{n:05d}-of-{SHARDS:05d}.tfrecord" for n in range(SHARDS)]
        for shard, name in enumerate(names):
            with open(folder / name, "wb") as file:
                for n in range(shard, number, SHARDS):
                    tfrecord.write(
                        file, example.encode(sample(f"{split}/{n:06d}", split, rng), CLASSES)
                    )
        told[split] = {"records": number, "objects": 0, "shards": names}
    manifest = {"schema_version": example.SCHEMA_VERSION, "splits": told, "labels": CLASSES}
    manifest |= {"rejected": {}, "warnings": {}, "format": "generated", "pictures": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    labels.write(folder / "labels.txt", CLASSES)


def sample(name: str, split: str, rng: np.random.Generator) -> Sample:
    buffer = io.BytesIO()
    pixels = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    objects = int(rng.integers(0, 8))
    corner = rng.uniform(0, 16, (objects, 2))
    boxes = np.hstack([corner, corner + rng.uniform(4, 16, (objects, 2))]).astype(np.float32)
    flags = dict.fromkeys(("difficult", "truncated", "crowd"), np.zeros(objects, bool))
    classes = np.minimum(rng.geometric(0.2, objects), len(CLASSES)) - 1
    return Sample(name, split, buffer.getvalue(), 32, 32, boxes=boxes, classes=classes, **flags)


def write_run(run: pathlib.Path, records: pathlib.Path) -> pathlib.Path:
    """An evaluation of the training split: the true boxes moved a little, and FALSE others."""
    rng = np.random.default_rng(1)
    store = run / "artifacts"
    training, evaluation = store / "trainer" / "t", store / "evaluator" / "e"
    for made in (training, evaluation):
        made.mkdir(parents=True)
    (run / "config.yaml").write_text("name: bench\n")
    params = {"task": TASK, "split": "train", "evaluate": {"metric": None}}
    about = {"started": "2026", "params": params}
    about["inputs"] = {"examples": str(records), "model": str(training)}
    (evaluation / "run.json").write_text(json.dumps(about))
    with open(evaluation / worst.PREDICTIONS, "w") as file:
        for each in worst.samples_of(records, "train"):
            boxes = np.vstack([each.boxes + rng.uniform(-2, 2, each.boxes.shape),
                               np.tile([[4, 4, 20, 20]], (FALSE, 1))]).round(2)  # fmt: skip
            classes = [*each.classes.tolist(), *rng.integers(0, len(CLASSES), FALSE).tolist()]
            scores = rng.uniform(0, 1, len(boxes)).round(4).tolist()
            row = {"source_id": each.source_id, "boxes": boxes.tolist()}
            print(json.dumps(row | {"scores": scores, "classes": classes}), file=file)
    return run


def measure(folder: pathlib.Path, run: pathlib.Path) -> dict[str, float]:
    """Seconds and MB."""
    took = {}
    for place in places(folder):
        place.unlink(missing_ok=True)
    with server(folder) as (address, _):
        took["start, building the index, s"] = _ready(f"{address}/api/data")
    with server(folder) as (address, pid):
        took["start again, s"] = _ready(f"{address}/api/data")
        took |= _asked(address)
        took["memory of the server, MB"] = _memory_mb(pid)
    with server(run) as (address, pid):
        took["results: judging all answers once, s"] = _ready(f"{address}/api/results")
    with server(run) as (address, pid):
        took["results: started again, s"] = _ready(f"{address}/api/results")
        _ready(f"{address}/api/results/pictures?threshold=0.5")
        for name in ("at?threshold=0.3", "pictures?threshold=0.3", "pictures?cell=3,2"):
            took[f"results: {name}, s"] = _ready(f"{address}/api/results/{name}")
        took["results: memory of the server, MB"] = _memory_mb(pid)
    return took


@contextlib.contextmanager
def server(folder: pathlib.Path):
    """(address, process) of the verb over a folder."""
    command = [sys.executable, "-m", "convoy.pipeline.cli", "look", str(folder), "--port", "0"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = started.stdout.readline()
        yield re.search(r"http://\S+", line)[0].rstrip("/"), started.pid
    finally:
        started.terminate()
        started.wait()


def _ready(address: str) -> float:
    """Seconds until there is an answer."""
    started = time.perf_counter()
    while get(address).startswith(b'{"wait"'):
        time.sleep(0.05)
    return time.perf_counter() - started


def _asked(address: str) -> dict[str, float]:
    took, started = {}, time.perf_counter()
    page = get(f"{address}/data").decode()
    for link in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        get(address + link)
    rows = json.loads(get(f"{address}/api/data"))["rows"]
    for row in rows[:FIRST_SCREEN]:
        get(f"{address}{row['thumb']}")
    took["first paint, s"] = time.perf_counter() - started
    for query in FILTERS:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            get(f"{address}/api/data?{query}")
            times.append(time.perf_counter() - started)
        took[f"filter {query}, s"] = max(times)
    return took


def get(address: str) -> bytes:
    with urllib.request.urlopen(address) as answer:
        return answer.read()


def _memory_mb(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="?", type=int, default=100_000)
    parser.add_argument("--folder", type=pathlib.Path, help="where they are, or are made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        folder = arguments.folder or pathlib.Path(aside) / "records"
        if not (folder / "manifest.json").exists():
            started = time.perf_counter()
            write(folder, arguments.records)
            print(f"{arguments.records:,} records written in {time.perf_counter() - started:.1f} s")
        run = write_run(pathlib.Path(aside) / "run", folder)
        for name, value in measure(folder, run).items():
            print(f"{name:<42} {value:8.3f}")


if __name__ == "__main__":
    main()
