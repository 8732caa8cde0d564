"""How far the answers of two networks lie apart, as one number a person can set a limit on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Answers = Mapping[str, np.ndarray]


def difference(expected: Answers, received: Answers, iou_threshold: float = 0.45) -> float:
    """Largest score difference over a batch of answers of `serving.signatures`.

    Classification: of any class of any picture; localisation: or by how much less than wholly the
    boxes of a picture overlap, if that is more. Detection: a detection counts with how far its
    score exceeds the best score that the other network gives to the same class in the same place
    (overlap above 0.9 * iou_threshold), in both directions; so two boxes of one object that
    change their order, of which suppression then keeps the other, are no difference.
    """
    if "boxes" not in expected:
        apart = float(np.max(np.abs(expected["scores"] - received["scores"]), initial=0.0))
        pairs = zip(expected.get("box", ()), received.get("box", ()), strict=True)
        return max([apart, *(1.0 - float(iou(box, other[None])[0]) for box, other in pairs)])
    worst = 0.0
    for index in range(len(expected["scores"])):
        a, b = _picture(expected, index), _picture(received, index)
        worst = max(worst, _one_sided(a, b, iou_threshold), _one_sided(b, a, iou_threshold))
    return worst


def _picture(answers: Answers, index: int):
    count = int(answers["num_detections"][index])
    full = count == answers["scores"].shape[1]
    fields = (answers[name][index][:count] for name in ("boxes", "scores", "classes"))
    return (*fields, full)


def _one_sided(expected, received, iou_threshold: float) -> float:
    boxes, scores, classes, _ = expected
    other_boxes, other_scores, other_classes, full = received
    # A full list ends at its lowest score: what lies below it may be there, and is not known.
    floor = float(other_scores.min()) if full and len(other_scores) else 0.0
    worst = 0.0
    for box, score, label in zip(boxes, scores, classes, strict=True):
        same = other_scores[
            (other_classes == label) & (iou(box, other_boxes) > 0.9 * iou_threshold)
        ]
        worst = max(worst, float(score) - max(float(same.max(initial=0.0)), floor))
    return worst


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Overlap of one box [4] with each of boxes [N, 4]; two empty boxes of one place overlap."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    union = area + areas - shared
    same = np.all(np.abs(boxes - box) < 0.5, axis=1)
    return np.where(same, 1.0, shared / np.maximum(union, 1e-9))
