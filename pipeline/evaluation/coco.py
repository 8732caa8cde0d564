"""The twelve COCO numbers, computed by pycocotools on data sets built in memory.

Definitions: https://cocodataset.org/#detection-eval. Two things are ours:
* the size of an object (small < 32², large > 96² pixels) is the area of its box. COCO's own files
  give the area of the mask, so APs, APm and APl differ a little from the leaderboard's;
* VOC's difficult objects are ignored: not counted as missed, and the one detection that matches
  such an object (by ordinary IoU, if no other object is free) is neither right nor wrong.
  pycocotools overwrites an annotation's `ignore` with `iscrowd`, and a crowd overlaps by another
  formula; so a difficult object gets the area -1, which no size range contains.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.matching import flags, pair
from convoy.pipeline.evaluation.records import Detections

KEYS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def coco_metrics(
    samples: Iterable[Sample], detections: Iterable[Detections], labels: Sequence[str]
) -> dict[str, Any]:
    """The numbers named in KEYS, and AP and AP50 of each class in `per_class`; ready for JSON.

    A number that is not defined, as the APs of a set without small objects, is None (-1 in
    pycocotools). Pictures are not needed: samples may have `image=b""`.
    """
    pairs = pair(samples, detections, len(labels))
    if not pairs or not labels:
        nothing = {label: {"AP": None, "AP50": None} for label in labels}
        return {**dict.fromkeys(KEYS), "per_class": nothing}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_truth(pairs, len(labels)), _found(pairs, len(labels)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    # [thresholds, recalls, classes]: every size, 100 detections a picture
    precision = evaluator.eval["precision"][:, :, :, 0, 2]
    per_class = {
        label: {"AP": _mean(precision[:, :, k]), "AP50": _mean(precision[0, :, k])}
        for k, label in enumerate(labels)
    }
    stats = (None if value < 0 else float(value) for value in evaluator.stats)
    return {**dict(zip(KEYS, stats, strict=True)), "per_class": per_class}


def _truth(pairs: list[tuple[Sample, Detections]], num_classes: int) -> COCO:
    annotations = []
    for number, (sample, _) in enumerate(pairs):
        difficult, crowd = flags(sample)
        for box, k, ignore, many in zip(
            sample.boxes, sample.classes, difficult, crowd, strict=True
        ):
            annotation = _annotation(number, box, k, len(annotations))
            annotation["iscrowd"] = int(many)
            if ignore:
                annotation["area"] = -1.0
            annotations.append(annotation)
    return _indexed(pairs, num_classes, annotations)


def _found(pairs: list[tuple[Sample, Detections]], num_classes: int) -> COCO:
    annotations = []
    for number, (_, found) in enumerate(pairs):
        for box, k, score in zip(found.boxes, found.classes, found.scores, strict=True):
            annotation = _annotation(number, box, k, len(annotations))
            annotations.append({**annotation, "iscrowd": 0, "score": float(score)})
    return _indexed(pairs, num_classes, annotations)


def _annotation(number: int, box: np.ndarray, k: int, count: int) -> dict[str, Any]:
    ymin, xmin, ymax, xmax = (float(value) for value in box)
    # An inverted box would have a negative area and so be ignored instead of wrong.
    width, height = max(xmax - xmin, 0.0), max(ymax - ymin, 0.0)
    return {
        "id": count + 1,  # 0 means "not matched" inside pycocotools
        "image_id": number + 1,
        "category_id": int(k) + 1,
        "bbox": [xmin, ymin, width, height],
        "area": width * height,
    }


def _indexed(pairs: list, num_classes: int, annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number + 1} for number in range(len(pairs))],
        "categories": [{"id": k + 1} for k in range(num_classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _mean(precision: np.ndarray) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None
