"""The twelve COCO numbers: pycocotools matches each picture, what is kept of it is compact.

Definitions: https://cocodataset.org/#detection-eval. The size of an object (small < 32², large >
96² pixels) is its annotation's `area`, in COCO's own files that of the mask; that of its box where
the record has none. Detections go by their boxes. One thing is ours: VOC's difficult objects are
ignored: not counted as missed, and the one detection that matches such an object (by ordinary IoU,
if no other object is free) is neither right nor wrong. pycocotools overwrites an annotation's
`ignore` with `iscrowd`, and a crowd overlaps by another formula; so a difficult object gets the
area -1, which no size range contains.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.columns import Column
from convoy.pipeline.evaluation.matching import flags, pair
from convoy.pipeline.evaluation.records import Detections

KEYS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
PARAMS = Params("bbox")  # 10 thresholds of IoU, 101 of recall, 4 ranges of size
NUM_THRESHOLDS, NUM_SIZES = len(PARAMS.iouThrs), len(PARAMS.areaRng)
ALL, SMALL, MEDIUM, LARGE = range(NUM_SIZES)
AT_50, AT_75 = 0, 5  # among the thresholds
MOST = PARAMS.maxDets[-1]  # detections of one class that count per picture
_BITS = (1 << np.arange(NUM_THRESHOLDS)).astype(np.uint16)


class CocoEvaluation:
    """COCO's evaluation picture by picture: per detection its score, its class and 17 bytes.

    kind: "bbox", or "segm" of objects and detections with masks.
    """

    def __init__(self, num_classes: int, kind: str = "bbox"):
        self._kind = kind
        # Detections, picture by picture, of each class in falling order of score.
        self._scores, self._classes = Column(np.float32), Column(np.int32)
        self._ranks = Column(np.uint8)  # among those of its class and picture, from 0
        # Per range of size, bit t for threshold t.
        self._correct, self._ignored = Column(np.uint16, NUM_SIZES), Column(np.uint16, NUM_SIZES)
        self._num_truth = np.zeros((num_classes, NUM_SIZES), np.int64)  # objects that count

    def update(self, sample: Sample, detections: Detections, masks=None) -> None:
        """masks, of "segm": (each object's, each detection's) in COCO's run-length encoding."""
        truth, answered = _annotations(sample), _results(detections)
        if masks is not None:
            for annotation, mask in zip(truth, masks[0], strict=True):
                annotation["segmentation"] = mask
            for annotation, mask in zip(answered, masks[1], strict=True):
                annotation |= {"segmentation": mask, "area": float(coco_mask.area(mask))}
        size = sample.height, sample.width
        present = sorted({item["category_id"] for item in (*truth, *answered)})
        if not present:
            return
        with contextlib.redirect_stdout(io.StringIO()):
            known = (indexed(present, rows, size) for rows in (truth, answered))
            evaluator = COCOeval(*known, self._kind)
            evaluator.evaluate()
        for number, k in enumerate(present):
            sizes = evaluator.evalImgs[number * NUM_SIZES : (number + 1) * NUM_SIZES]
            for size, of_size in enumerate(sizes):
                self._num_truth[k, size] += np.count_nonzero(np.equal(of_size["gtIgnore"], 0))
            scores = sizes[ALL]["dtScores"]
            ignored = np.array([of_size["dtIgnore"] for of_size in sizes], bool)  # [sizes, T, D]
            matched = np.array([of_size["dtMatches"] for of_size in sizes]) > 0
            self._scores.extend(scores)
            self._classes.extend(np.full(len(scores), k))
            self._ranks.extend(np.arange(len(scores)))
            self._correct.extend(_packed(matched & ~ignored))
            self._ignored.extend(_packed(ignored))

    def result(self, labels: Sequence[str]) -> dict[str, Any]:
        """The numbers named in KEYS, and AP and AP50 of each class in `per_class`.

        A number that is not defined, as the APs of a set without small objects, is None (-1 in
        pycocotools).
        """
        precision, recall = self.accumulated()
        all_sizes, of_100 = precision[ALL], recall[MOST]
        numbers = (
            *(all_sizes, all_sizes[AT_50], all_sizes[AT_75]),
            *(precision[size] for size in (SMALL, MEDIUM, LARGE)),
            *(recall[limit][ALL] for limit in PARAMS.maxDets),
            *(of_100[size] for size in (SMALL, MEDIUM, LARGE)),
        )
        per_class = {
            label: {"AP": mean(all_sizes[:, :, k]), "AP50": mean(all_sizes[AT_50, :, k])}
            for k, label in enumerate(labels)
        }
        return {**dict(zip(KEYS, map(mean, numbers), strict=True)), "per_class": per_class}

    def accumulated(self) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Precision [sizes, T, recalls, K] with 100 detections, and recall [sizes, T, K] by how
        many detections of a class are looked at per picture: 1, 10 or 100. -1 without objects.
        """
        num_classes = len(self._num_truth)
        shape = (NUM_SIZES, NUM_THRESHOLDS, len(PARAMS.recThrs), num_classes)
        precision = np.full(shape, -1.0)
        recall = {limit: np.full((*shape[:2], num_classes), -1.0) for limit in PARAMS.maxDets}
        scores, ranks = self._scores.array(), self._ranks.array()
        correct, ignored = self._correct.array(), self._ignored.array()
        for k, rows in enumerate(_by_class(self._classes.array(), num_classes)):
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            first = {limit: ranks[rows] < limit for limit in PARAMS.maxDets}
            for size in np.flatnonzero(self._num_truth[k]):
                num_truth = self._num_truth[k, size]
                correct_at, ignored_at = correct[rows, size], ignored[rows, size]
                for t, bit in enumerate(_BITS):
                    hit = correct_at & bit != 0
                    miss = ~hit & (ignored_at & bit == 0)
                    precision[size, t, :, k] = precision_of(hit, miss, num_truth)
                    for limit, among in first.items():
                        recall[limit][size, t, k] = np.count_nonzero(hit & among) / num_truth
        return precision, recall


def coco_metrics(
    samples: Iterable[Sample], detections: Iterable[Detections], labels: Sequence[str]
) -> dict[str, Any]:
    """`CocoEvaluation.result` of a whole set in memory; samples may have `image=b""`."""
    evaluation = CocoEvaluation(len(labels))
    for sample, item in pair(samples, detections, len(labels)):
        evaluation.update(sample, item)
    return evaluation.result(labels)


def _annotations(sample: Sample) -> list[dict[str, Any]]:
    difficult, crowd = flags(sample)
    annotations = [
        {**_annotation(box, k, number), "iscrowd": int(is_crowd)}
        for number, (box, k, is_crowd) in enumerate(
            zip(sample.boxes, sample.classes, crowd, strict=True)
        )
    ]
    if len(sample.areas):
        for annotation, area in zip(annotations, sample.areas, strict=True):
            annotation["area"] = float(area)
    for index in np.flatnonzero(difficult):
        annotations[index]["area"] = -1.0
    return annotations


def _results(detections: Detections) -> list[dict[str, Any]]:
    rows = zip(detections.boxes, detections.classes, detections.scores, strict=True)
    return [
        {**_annotation(box, k, number), "iscrowd": 0, "score": float(score)}
        for number, (box, k, score) in enumerate(rows)
    ]


def _annotation(box: np.ndarray, k: int, number: int) -> dict[str, Any]:
    ymin, xmin, ymax, xmax = (float(value) for value in box)
    # An inverted box would have a negative area and so be ignored instead of wrong.
    width, height = max(xmax - xmin, 0.0), max(ymax - ymin, 0.0)
    return {
        "id": number + 1,  # 0 means "not matched" inside pycocotools
        "image_id": 0,
        "category_id": int(k),
        "bbox": [xmin, ymin, width, height],
        "area": width * height,
    }


def indexed(categories: Sequence[int], annotations: list[dict[str, Any]], size) -> COCO:
    """One picture of (height, width) as pycocotools takes it."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 0, "height": size[0], "width": size[1]}],
        "categories": [{"id": k} for k in categories],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _packed(flags: np.ndarray) -> np.ndarray:
    """Bool [sizes, T, D] -> uint16 [D, sizes], bit t for threshold t."""
    return np.einsum("std,t->ds", flags.astype(np.uint16), _BITS)


def _by_class(classes: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """Rows of each class, in their order."""
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.searchsorted(classes[order], np.arange(1, num_classes)))[:num_classes]


def precision_of(hit: np.ndarray, miss: np.ndarray, num_truth: int) -> np.ndarray:
    """Best precision at or beyond each of the recalls; detections [D] in falling order of score."""
    true, false = np.cumsum(hit, dtype=float), np.cumsum(miss, dtype=float)
    envelope = np.maximum.accumulate((true / (false + true + np.spacing(1)))[::-1])[::-1]
    place = np.searchsorted(true / num_truth, PARAMS.recThrs, side="left")
    return np.append(envelope, 0.0)[place]


def mean(values: np.ndarray) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
