"""A class and a box a picture: ILSVRC's single-object localisation.

Russakovsky 2015, section 4.2 (https://arxiv.org/abs/1409.0575): an answer is right where class and
box are, the box where its intersection over union with the true one is at least 0.5. Here there is
one true box, that of the largest object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.classification import classification_metrics
from convoy.pipeline.evaluation.matching import flags, overlap
from convoy.pipeline.evaluation.records import Located

IOU = 0.5


def target(sample: Sample) -> tuple[np.ndarray, int] | None:
    """(box [4] in pixels, class) of the largest object, difficult ones and crowds left out."""
    difficult, crowd = flags(sample)
    usable = np.flatnonzero(~(difficult | crowd))
    if not len(usable):
        return None
    boxes = sample.boxes[usable]
    best = int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
    return boxes[best], int(sample.classes[usable[best]])


def localization_metrics(
    samples: Sequence[Sample], located: Sequence[Located], names: Sequence[str]
) -> dict[str, Any]:
    """Numbers ready for JSON; pictures without an object count as `without_object` alone.

    top1, top5, confusion: of the classes. iou50: part of the pictures whose box is right; loc_top1:
    whose class and box are; loc_top5: with the class among the five of highest score, all with the
    one box. mean_iou; box_error: mean distance of a corner's coordinate, in parts of the side.
    """
    pairs = [(s, found, target(s)) for s, found in zip(samples, located, strict=True)]
    pairs = [pair for pair in pairs if pair[2] is not None]
    truth = np.array([aim[1] for _, _, aim in pairs], np.int64)
    scores = np.reshape([found.scores for _, found, _ in pairs], (-1, len(names)))
    metrics = classification_metrics(truth, scores, names)
    metrics["without_object"] = len(samples) - len(pairs)
    shared = [overlap(found.box, aim[0])[0, 0] for _, found, aim in pairs]
    far = [
        np.abs(found.box - aim[0]) / ([sample.height, sample.width] * 2)
        for sample, found, aim in pairs
    ]
    fits = np.array(shared) >= IOU
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    among = (order == truth[:, None]) if len(pairs) else np.zeros((0, 1), bool)
    per_class = metrics.pop("per_class")
    for k, name in enumerate(names):
        own = truth == k
        per_class[name]["iou50"] = _mean(fits[own])
        per_class[name]["loc_top1"] = _mean((fits & among[:, 0])[own])
    numbers = {
        "loc_top1": _mean(fits & among[:, 0]),
        "loc_top5": _mean(fits & among.any(axis=1)),
        "iou50": _mean(fits),
        "mean_iou": _mean(shared),
        "box_error": _mean(far),
    }
    return {**numbers, **metrics, "per_class": per_class}


def _mean(values) -> float | None:
    return float(np.mean(values)) if len(values) else None
