"""PASCAL VOC average precision: the 11-point rule of 2007 and the area rule since 2010.

Sources: VOCdevkit VOCevaldet.m and VOCap.m; Everingham 2010, section 4.2; matching in matching.py.
VOC's code adds 1 to every width because its corners are inclusive pixel numbers. Convoy's boxes are
continuous (pixel i covers [i, i + 1], the reader has shifted the first corner), so that 1 is
already in them and the overlap is the same number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.matching import FALSE, TRUE, Matches, match
from convoy.pipeline.evaluation.records import Detections


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of one class after each of its detections, in falling score."""

    precision: np.ndarray  # [D] 0..1
    recall: np.ndarray  # [D] 0..1, never falling; 0 where the class has no object
    scores: np.ndarray  # [D]
    num_truth: int


def voc_metrics(
    samples: Iterable[Sample],
    detections: Iterable[Detections],
    labels: Sequence[str],
    iou: float = 0.5,
) -> dict[str, Any]:
    """`voc07_mAP` and `voc_mAP`, and both APs and the counts of each class; ready for JSON.

    The APs of a class without objects are None; a mean is over the other classes, None if there
    are none. Pictures are not needed: samples may have `image=b""`.
    """
    return voc_metrics_of(match(samples, detections, len(labels), iou), labels)


def voc_metrics_of(matches: Matches, labels: Sequence[str]) -> dict[str, Any]:
    """`voc_metrics` of detections that are matched already."""
    per_class = {}
    for k, label in enumerate(labels):
        curve = pr_curve(matches, k)
        absent = curve.num_truth == 0
        per_class[label] = {
            "voc07_AP": None if absent else ap_11_point(curve.recall, curve.precision),
            "voc_AP": None if absent else ap_area(curve.recall, curve.precision),
            "objects": curve.num_truth,
            "detections": len(curve.scores),
        }
    return {
        "voc07_mAP": _mean(row["voc07_AP"] for row in per_class.values()),
        "voc_mAP": _mean(row["voc_AP"] for row in per_class.values()),
        "per_class": per_class,
    }


def pr_curve(matches: Matches, k: int) -> Curve:
    """The curve of class k; ignored detections are left out."""
    counted = (matches.classes == k) & ((matches.outcomes == TRUE) | (matches.outcomes == FALSE))
    true_positives = np.cumsum(matches.outcomes[counted] == TRUE)
    num_truth = int(matches.num_truth[k])
    return Curve(
        precision=true_positives / np.arange(1, len(true_positives) + 1),
        recall=true_positives / max(num_truth, 1),
        scores=matches.scores[counted],
        num_truth=num_truth,
    )


def ap_11_point(recall: np.ndarray, precision: np.ndarray) -> float:
    """1/11 sum over t = 0, 0.1, .. 1 of max(precision where recall >= t), 0 where never reached."""
    # i / 10 is the double nearest to the fraction, and so is a recall of 3/10 or 6/20; sums of
    # 0.1 are not, and would lose the point at recall 0.3.
    points = [i / 10 for i in range(11)]
    return float(sum(np.max(precision[recall >= t], initial=0.0) for t in points) / 11)


def ap_area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under precision made monotonic from the right: sum (r_i - r_i-1) max_{j >= i} p_j."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
