"""Confusion matrix of a detector, with background, and the score threshold of best F1."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.columns import Column
from convoy.pipeline.evaluation.matching import Matches, flags, overlap, pair
from convoy.pipeline.evaluation.records import Detections
from convoy.pipeline.evaluation.voc import pr_curve


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """Counts [K + 1, K + 1]: row = truth, column = prediction, the last of each = background."""

    counts: np.ndarray  # int64; last column: missed objects; last row: detections of nothing
    labels: tuple[str, ...]  # K names and "background"
    definition: str  # how it was counted; printed on the figure


class Overlaps:
    """What is needed of each picture to count who was taken for whom, at thresholds chosen later.

    Of the detections at or above their class's threshold, in falling order of score, each takes the
    object not yet taken, of whatever class, that it overlaps most, if by at least `iou` (of equally
    near ones its own class first). Difficult and crowd objects are taken only when no other fits;
    such a detection is not counted, nor is such an object ever counted as missed.
    """

    def __init__(self, iou: float = 0.5):
        self._iou = iou
        # Detections, picture by picture, in falling order of score.
        self._scores, self._classes = Column(np.float32), Column(np.int32)
        self._objects, self._ignored = Column(np.int32), Column(bool)  # class of each object
        # Pairs (detection, object) that overlap by at least `iou`, counted over the whole set.
        self._pairs, self._shared = Column(np.int32, 2), Column(np.float64)

    def update(self, sample: Sample, detections: Detections) -> None:
        difficult, crowd = flags(sample)
        order = np.argsort(-np.asarray(detections.scores, np.float64), kind="stable")
        shared = overlap(np.asarray(detections.boxes)[order], sample.boxes, crowd)
        near = np.argwhere(shared >= self._iou)
        self._pairs.extend(near + np.array([len(self._scores), len(self._objects)]))
        self._shared.extend(shared[tuple(near.T)])
        self._scores.extend(np.asarray(detections.scores)[order])
        self._classes.extend(np.asarray(detections.classes)[order])
        self._objects.extend(sample.classes)
        self._ignored.extend(difficult | crowd)

    def confusion(self, labels: Sequence[str], score: float | Sequence[float] = 0.5) -> Confusion:
        """Counts of the pictures so far. `score`: one threshold, or one per class [K]."""
        background = len(labels)
        thresholds = np.broadcast_to(np.asarray(score, np.float64), (background,))
        counts = np.zeros((background + 1, background + 1), np.int64)
        classes, truth = self._classes.array(), self._objects.array()
        ignored = self._ignored.array()
        pairs, shared = self._pairs.array(), self._shared.array()
        confident = self._scores.array() >= thresholds[classes]
        near = np.zeros(len(classes), bool)
        near[pairs[:, 0]] = True
        np.add.at(counts[background], classes[confident & ~near], 1)
        free = ~ignored
        detections, starts = np.unique(pairs[:, 0], return_index=True)
        stops = np.append(starts, len(pairs))[1:]
        for detection, start, stop in zip(detections, starts, stops, strict=True):
            if not confident[detection]:
                continue
            objects, k = pairs[start:stop, 1], classes[detection]
            fits = free[objects]
            if fits.any():
                best = objects[_nearest(shared[start:stop], fits, truth[objects] == k)]
                free[best] = False
                counts[truth[best], k] += 1
            elif not ignored[objects].any():
                counts[background, k] += 1
        np.add.at(counts[:, background], truth[free], 1)
        threshold = (
            f"{thresholds[0]:.2f}" if np.ptp(thresholds) == 0 else "each class's own threshold"
        )
        return Confusion(
            counts,
            (*labels, "background"),
            f"IoU ≥ {self._iou:.2f}, score ≥ {threshold}; "
            "greedy by score, then IoU, over all classes",
        )


def detection_confusion(
    samples: Iterable[Sample],
    detections: Iterable[Detections],
    labels: Sequence[str],
    iou: float = 0.5,
    score: float | Sequence[float] = 0.5,
) -> Confusion:
    """`Overlaps` of a whole set in memory."""
    overlaps = Overlaps(iou)
    for sample, item in pair(samples, detections, len(labels)):
        overlaps.update(sample, item)
    return overlaps.confusion(labels, score)


def operating_points(matches: Matches, labels: Sequence[str]) -> dict[str, dict[str, float] | None]:
    """The score threshold of best F1 for each class, and precision, recall and F1 there.

    Detections with score >= threshold are kept. Of thresholds with the same F1 the highest is
    taken. None for a class without objects or without one right detection.
    """
    points = {}
    for k, label in enumerate(labels):
        curve = pr_curve(matches, k)
        # Only the last of equal scores is a state that a threshold can produce.
        last = np.append(curve.scores[1:] != curve.scores[:-1], True)[: len(curve.scores)]
        precision, recall = curve.precision[last], curve.recall[last]
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
        if not len(f1) or f1.max() == 0:
            points[label] = None
            continue
        best = int(f1.argmax())
        points[label] = {
            "threshold": float(curve.scores[last][best]),
            "precision": float(precision[best]),
            "recall": float(recall[best]),
            "F1": float(f1[best]),
        }
    return points


def _nearest(row: np.ndarray, fits: np.ndarray, same: np.ndarray) -> int:
    """Of the objects that fit the nearest, of equally near ones the first of the same class."""
    nearest = fits & (row == row[fits].max())
    return int(np.argmax(nearest & same if np.any(nearest & same) else nearest))
