"""Short hands for samples and detections in tests."""

from __future__ import annotations

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.records import Detections


def sample(name, boxes, classes, difficult=None, crowd=None, image=b"", size=(200, 200)):
    count = len(boxes)
    return Sample(
        source_id=name,
        split="test",
        image=image,
        height=size[0],
        width=size[1],
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes, np.int64),
        difficult=np.array([False] * count if difficult is None else difficult, bool),
        crowd=np.array([False] * count if crowd is None else crowd, bool),
    )


def found(name, boxes, classes, scores):
    return Detections(
        source_id=name,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        classes=np.array(classes, np.int64),
    )


def random_set(seed, pictures=40, num_classes=3, flags=True):
    """Truth and detections that are hits, near misses, duplicates, wrong classes and noise."""
    rng = np.random.default_rng(seed)
    samples, detections = [], []
    for number in range(pictures):
        count = int(rng.integers(0, 6))
        corner = rng.uniform(0, 150, (count, 2))
        # Sizes on both sides of COCO's 32 and 96 pixels.
        side = rng.uniform(8, 130, (count, 2))
        boxes = np.concatenate([corner, corner + side], axis=1)
        classes = rng.integers(0, num_classes, count)
        difficult = rng.random(count) < (0.2 if flags else 0)
        crowd = (rng.random(count) < (0.1 if flags else 0)) & ~difficult
        samples.append(sample(f"p{number}", boxes, classes, difficult, crowd))
        out = [
            (box + rng.normal(0, rng.choice([1, 8]), 4), k if rng.random() < 0.9 else 0)
            for box, k in zip(boxes, classes, strict=True)
            for _ in range(int(rng.integers(0, 3)))
        ]
        for _ in range(int(rng.integers(0, 3))):
            start = rng.uniform(0, 150, 2)
            noise = np.concatenate([start, start + rng.uniform(8, 60, 2)])
            out.append((noise, int(rng.integers(0, num_classes))))
        scores = -np.sort(-rng.random(len(out)).astype(np.float32))
        detections.append(found(f"p{number}", [b for b, _ in out], [k for _, k in out], scores))
    return samples, detections
