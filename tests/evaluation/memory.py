"""How much memory an evaluation takes: python -m tests.evaluation.memory TASK PICTURES IMAGE_BYTES

Generated samples and answers pass one by one through a task's Metrics, its Chosen and the lines of
predictions.jsonl, as the evaluator does it; then come the numbers. Prints the process's peak in MB
before the first picture and at the end. A process of its own, because a peak never falls.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline import tasks

CLASSES = {"classification": 1000, "detection": 80}
DETECTIONS, OBJECTS, SIDE = 100, 7, 640


def classification(rng, k: int) -> tuple[dict, dict]:
    """A sample's annotation and an answer."""
    scores = rng.random(k, np.float32)
    name = b"class %d" % scores.argmax()
    answer = {"scores": scores, "class_id": scores.argmax(), "class_name": name}
    return {"labels": rng.integers(0, k, 1)}, answer


def detection(rng, k: int) -> tuple[dict, dict]:
    """Objects, and detections near each of them and anywhere."""
    corner = rng.uniform(0, SIDE - 200, (OBJECTS, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 200, (OBJECTS, 2))], axis=1)
    classes = rng.integers(0, k, OBJECTS)
    owner = rng.integers(0, OBJECTS, DETECTIONS)
    near = rng.random(DETECTIONS) < 0.5
    moved = boxes[owner] + rng.normal(0, np.where(near, 5, 150)[:, None], (DETECTIONS, 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    said = np.where(rng.random(DETECTIONS) < 0.8, classes[owner], rng.integers(0, k, DETECTIONS))
    answer = {
        "boxes": moved.astype(np.float32),
        "scores": -np.sort(-rng.random(DETECTIONS, np.float32)),
        "classes": said,
        "class_names": np.array([b"class %d" % c for c in said], object),
        "num_detections": np.int32(DETECTIONS),
    }
    return {"boxes": boxes.astype(np.float32), "classes": classes}, answer


def stream(task: str, pictures: int, image_bytes: int):
    rng = np.random.default_rng(0)
    make = {"classification": classification, "detection": detection}[task]
    for number in range(pictures):
        annotation, answer = make(rng, CLASSES[task])
        image = rng.bytes(image_bytes)
        yield Sample(f"picture {number}", "val", image, SIDE, SIDE, **annotation), answer


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(task: str, pictures: int, image_bytes: int) -> dict:
    module = tasks.of(task)
    metrics = module.Metrics([f"class {k}" for k in range(CLASSES[task])])
    chosen = module.Chosen(pictures, 12)
    before = peak_mb()
    with tempfile.TemporaryFile("w") as lines:
        for sample, answer in stream(task, pictures, image_bytes):
            metrics.update(sample, answer)
            chosen.update(sample, answer)
            print(json.dumps({"source_id": sample.source_id, **module.row(answer)}), file=lines)
    numbers = metrics.result()
    numbers.pop("per_class")
    numbers.pop("confusion", None)
    return {"before_mb": before, "peak_mb": peak_mb(), "shown": len(chosen.pairs()), **numbers}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], *map(int, sys.argv[2:]))))
