"""Which detection belongs to which object: pairing by picture, overlaps, VOC's matching rule.

Source of the rule: VOCdevkit, VOCevaldet.m (Everingham 2010,
https://link.springer.com/article/10.1007/s11263-009-0275-4, section 4.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.columns import Column
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
    by_picture: dict[str, Detections] = {}
    for item in detections:
        if item.source_id in by_picture:
            raise ValueError(
                f"detections of {item.source_id!r} came twice; expected one per picture"
            )
        by_picture[item.source_id] = item
    pairs, ids = [], set()
    for sample in samples:
        if sample.source_id in ids:
            raise ValueError(f"sample {sample.source_id!r} came twice; expected one per picture")
        ids.add(sample.source_id)
        pairs.append((sample, by_picture.get(sample.source_id) or _nothing(sample.source_id)))
    unknown = sorted(by_picture.keys() - ids)
    if unknown:
        raise ValueError(f"detections of {len(unknown)} pictures without truth, as {unknown[0]!r}")
    for sample, item in pairs:
        check_classes(sample, item, num_classes)
    return pairs


def check_classes(sample: Sample, detections: Detections, num_classes: int) -> None:
    """Raises ValueError for a class outside [0, num_classes)."""
    for kind, classes in (("truth", sample.classes), ("a detection", detections.classes)):
        bad = [int(k) for k in classes if not 0 <= k < num_classes]
        if bad:
            raise ValueError(
                f"{sample.source_id}: {kind} has class {bad[0]}; expected 0..{num_classes - 1}"
            )


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
    union = area_a + area_b - shared
    if crowd is not None:
        union = np.where(np.asarray(crowd, bool).reshape(1, -1), area_a, union)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def flags(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """`difficult` and `crowd` as [N] bool; a reader that knows neither leaves them empty."""
    count = len(sample.boxes)
    return tuple(
        np.asarray(flag, bool) if len(flag) else np.zeros(count, bool)
        for flag in (sample.difficult, sample.crowd)
    )


def of_picture(
    sample: Sample, boxes: np.ndarray, classes: np.ndarray, iou: float, shared=None
) -> tuple[np.ndarray, np.ndarray]:
    """(the object of its class [D] that each detection overlaps most, -1 below `iou`; [D] bool).

    True is a detection that is ignored: its object is difficult, or, having none, it lies inside a
    crowd of its class by at least `iou` of its area. shared: [D, N] overlaps, as `overlap` gives
    them; None = those of the boxes.
    """
    difficult, crowd = flags(sample)
    count = len(classes)
    if not count or not len(sample.boxes):
        return np.full(count, -1), np.zeros(count, bool)
    shared = overlap(boxes, sample.boxes, crowd) if shared is None else np.array(shared, float)
    shared[np.asarray(classes)[:, None] != np.asarray(sample.classes)[None]] = 0
    single = np.where(crowd[None], 0, shared)
    nearest = single.argmax(axis=1)
    hit = single.max(axis=1) >= iou
    in_crowd = np.where(crowd[None], shared, 0).max(axis=1) >= iou
    return np.where(hit, nearest, -1), np.where(hit, difficult[nearest], in_crowd)


class Matching:
    """VOC's rule for all classes at once, picture by picture.

    In falling order of score, a detection looks at the object of its class and picture that it
    overlaps most. Overlap >= iou: TRUE if that object is new, FALSE if it was found before (a
    duplicate), IGNORED if it is difficult, however often. Less overlap: FALSE; but IGNORED when at
    least `iou` of the detection lies inside a crowd box of its class (COCO's crowds; VOC has none).
    Equal scores keep the order of pictures and detections.
    """

    def __init__(self, num_classes: int, iou: float = 0.5):
        self._iou = iou
        self._num_truth = np.zeros(num_classes, np.int64)
        self._num_objects = 0  # of all pictures so far
        self._scores, self._classes = Column(np.float32), Column(np.int32)
        self._objects = Column(np.int32)  # nearest one in the whole set, -1 where none is near
        self._ignored = Column(bool)

    def update(self, sample: Sample, detections: Detections, shared=None) -> None:
        """shared: [D, N] overlaps of something else than boxes."""
        difficult, crowd = flags(sample)
        truth_classes = np.asarray(sample.classes, np.int64)
        np.add.at(self._num_truth, truth_classes[~(difficult | crowd)], 1)
        found, ignored = of_picture(sample, detections.boxes, detections.classes, self._iou, shared)
        self._objects.extend(np.where(found >= 0, found + self._num_objects, -1))
        self._ignored.extend(ignored)
        self._num_objects += len(truth_classes)
        self._scores.extend(detections.scores)
        self._classes.extend(detections.classes)

    def matches(self) -> Matches:
        """What became of all detections so far."""
        scores = self._scores.array().astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        objects, ignored = self._objects.array()[order], self._ignored.array()[order]
        outcomes = np.where(ignored, IGNORED, FALSE).astype(np.int8)
        candidates = np.flatnonzero((objects >= 0) & ~ignored)
        _, earliest = np.unique(objects[candidates], return_index=True)
        outcomes[candidates[earliest]] = TRUE
        classes = self._classes.array().astype(np.int64)[order]
        return Matches(scores[order], classes, outcomes, self._num_truth.copy(), self._iou)


def match(
    samples: Iterable[Sample],
    detections: Iterable[Detections],
    num_classes: int,
    iou: float = 0.5,
) -> Matches:
    """`Matching` of a whole set in memory."""
    matching = Matching(num_classes, iou)
    for sample, item in pair(samples, detections, num_classes):
        matching.update(sample, item)
    return matching.matches()


def _nothing(source_id: str) -> Detections:
    return Detections(source_id, np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int64))
