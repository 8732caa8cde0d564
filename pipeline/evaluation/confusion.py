"""Confusion matrix of a detector, with background, and the score threshold of best F1."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.matching import Matches, flags, overlap, pair
from convoy.pipeline.evaluation.records import Detections
from convoy.pipeline.evaluation.voc import pr_curve


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """Counts [K + 1, K + 1]: row = truth, column = prediction, the last of each = background."""

    counts: np.ndarray  # int64; last column: missed objects; last row: detections of nothing
    labels: tuple[str, ...]  # K names and "background"
    definition: str  # how it was counted; printed on the figure


def detection_confusion(
    samples: Iterable[Sample],
    detections: Iterable[Detections],
    labels: Sequence[str],
    iou: float = 0.5,
    score: float | Sequence[float] = 0.5,
) -> Confusion:
    """Counts who was taken for whom. `score`: one threshold, or one a class [K].

    Of the detections with at least that score, in falling order, each takes the object not yet
    taken, of whatever class, that it overlaps most, if by at least `iou` (of equally near ones its
    own class first). Difficult and crowd objects are taken only when no other fits; such a
    detection is not counted, nor is such an object ever counted as missed.
    """
    num_classes = len(labels)
    least = np.broadcast_to(np.asarray(score, np.float64), (num_classes,))
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for sample, found in pair(samples, detections, num_classes):
        difficult, crowd = flags(sample)
        ignored = difficult | crowd
        classes = np.asarray(found.classes, np.int64)
        scores = np.asarray(found.scores, np.float64)
        kept = np.flatnonzero(scores >= least[classes])
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        shared = overlap(np.asarray(found.boxes)[kept], sample.boxes, crowd)
        free = ~ignored
        for row, k in zip(shared, classes[kept], strict=True):
            fits = (row >= iou) & free
            if fits.any():
                best = _nearest(row, fits, sample.classes == k)
                free[best] = False
                counts[sample.classes[best], k] += 1
            elif not np.any((row >= iou) & ignored):
                counts[num_classes, k] += 1
        np.add.at(counts[:, num_classes], np.asarray(sample.classes)[free], 1)
    threshold = f"{least[0]:.2f}" if np.ptp(least) == 0 else "each class's own threshold"
    return Confusion(
        counts,
        (*labels, "background"),
        f"IoU ≥ {iou:.2f}, score ≥ {threshold}; greedy by score, then IoU, over all classes",
    )


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
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
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
