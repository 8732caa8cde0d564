"""Which detection belongs to which object: pairing by picture, overlaps, VOC's matching rule.

Source of the rule: VOCdevkit, VOCevaldet.m (Everingham 2010,
https://link.springer.com/article/10.1007/s11263-009-0275-4, section 4.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.records import Detections

TRUE, FALSE, IGNORED = 1, 0, -1  # outcome of one detection


@dataclasses.dataclass(frozen=True, eq=False)
class Matches:
    """All detections of a data set, in falling order of score, and what became of each."""

    scores: np.ndarray  # [M] float64
    classes: np.ndarray  # [M] int64
    outcomes: np.ndarray  # [M] int8: TRUE, FALSE or IGNORED
    num_truth: np.ndarray  # [K] int64 objects that count: neither difficult nor crowd
    iou: float


def pair(
    samples: Iterable[Sample], detections: Iterable[Detections], num_classes: int
) -> list[tuple[Sample, Detections]]:
    """Each sample with its detections, in the order of the samples.

    A sample without detections gets none; detections of an unknown picture, a picture that comes
    twice, and a class outside [0, num_classes) raise ValueError.
    """
    found: dict[str, Detections] = {}
    for item in detections:
        if item.source_id in found:
            raise ValueError(f"detections of {item.source_id!r} came twice; expected one a picture")
        found[item.source_id] = item
    pairs, seen = [], set()
    for sample in samples:
        if sample.source_id in seen:
            raise ValueError(f"sample {sample.source_id!r} came twice; expected one a picture")
        seen.add(sample.source_id)
        pairs.append((sample, found.get(sample.source_id) or _nothing(sample.source_id)))
    unknown = sorted(found.keys() - seen)
    if unknown:
        raise ValueError(f"detections of {len(unknown)} pictures without truth, as {unknown[0]!r}")
    for pictures in pairs:
        for item in pictures:
            bad = [int(k) for k in item.classes if not 0 <= k < num_classes]
            if bad:
                kind = "truth" if isinstance(item, Sample) else "a detection"
                raise ValueError(
                    f"{item.source_id}: {kind} has class {bad[0]}; expected 0..{num_classes - 1}"
                )
    return pairs


def overlap(boxes: np.ndarray, truth: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """[D, 4] and [N, 4] boxes -> [D, N] float64 intersection over union; 0 for empty boxes.

    Columns where `crowd` is true hold intersection over the area of the detection instead (COCO:
    a crowd's box explains anything that lies inside it).
    """
    a = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    b = np.asarray(truth, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    area_a = np.prod(np.maximum(a[..., 2:] - a[..., :2], 0), axis=-1)
    area_b = np.prod(np.maximum(b[..., 2:] - b[..., :2], 0), axis=-1)
    whole = area_a + area_b - shared
    if crowd is not None:
        whole = np.where(np.asarray(crowd, bool).reshape(1, -1), area_a, whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def flags(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """`difficult` and `crowd` as [N] bool; a reader that knows neither leaves them empty."""
    count = len(sample.boxes)
    return tuple(
        np.asarray(flag, bool) if len(flag) else np.zeros(count, bool)
        for flag in (sample.difficult, sample.crowd)
    )


def match(
    samples: Iterable[Sample],
    detections: Iterable[Detections],
    num_classes: int,
    iou: float = 0.5,
) -> Matches:
    """VOC's rule, for all classes at once.

    In falling order of score, a detection looks at the object of its class and picture that it
    overlaps most. Overlap >= iou: TRUE if that object is new, FALSE if it was found before (a
    duplicate), IGNORED if it is difficult, however often. Less overlap: FALSE; but IGNORED when at
    least `iou` of the detection lies inside a crowd box of its class (COCO's crowds; VOC has none).
    Equal scores keep the order of pictures and detections.
    """
    scores, classes, objects, ignored = [], [], [], []
    num_truth = np.zeros(num_classes, np.int64)
    first = 0  # number of the picture's first object in the whole set
    for sample, found in pair(samples, detections, num_classes):
        difficult, crowd = flags(sample)
        truth_classes = np.asarray(sample.classes, np.int64)
        np.add.at(num_truth, truth_classes[~(difficult | crowd)], 1)
        num_found = len(found.scores)
        scores.append(np.asarray(found.scores, np.float64))
        classes.append(np.asarray(found.classes, np.int64))
        best, skip = np.full(num_found, -1), np.zeros(num_found, bool)
        if num_found and len(truth_classes):
            shared = overlap(found.boxes, sample.boxes, crowd)
            shared[classes[-1][:, None] != truth_classes[None]] = 0
            single = np.where(crowd[None], 0, shared)
            nearest = single.argmax(axis=1)
            hit = single.max(axis=1) >= iou
            best[hit] = nearest[hit] + first
            in_crowd = np.where(crowd[None], shared, 0).max(axis=1) >= iou
            skip = np.where(hit, difficult[nearest], in_crowd)
        objects.append(best)
        ignored.append(skip)
        first += len(truth_classes)
    if not scores:
        return Matches(np.zeros(0), np.zeros(0, int), np.zeros(0, np.int8), num_truth, iou)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    objects, ignored = np.concatenate(objects)[order], np.concatenate(ignored)[order]
    outcomes = np.where(ignored, IGNORED, FALSE).astype(np.int8)
    candidates = np.flatnonzero((objects >= 0) & ~ignored)
    _, earliest = np.unique(objects[candidates], return_index=True)
    outcomes[candidates[earliest]] = TRUE
    return Matches(
        np.concatenate(scores)[order], np.concatenate(classes)[order], outcomes, num_truth, iou
    )


def _nothing(source_id: str) -> Detections:
    return Detections(source_id, np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int64))
