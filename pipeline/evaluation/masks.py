"""Numbers of objects with masks: COCO's AP of masks, and PASCAL's AP^r.

COCO: https://cocodataset.org/#detection-eval. AP^r: Hariharan 2014
https://arxiv.org/abs/1407.1808 (section 2): VOC's average precision, with the overlap of masks at
least 0.5 or 0.7 in place of that of boxes; the area rule.

Picture by picture: masks are run-length encoded one by one and dropped with the picture.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from convoy.data.sample import Sample
from convoy.models.paste import paste
from convoy.pipeline.evaluation import voc
from convoy.pipeline.evaluation.coco import KEYS, CocoEvaluation
from convoy.pipeline.evaluation.matching import Matching, flags
from convoy.pipeline.evaluation.records import detections_of

OVERLAPS = {"APr50": 0.5, "APr70": 0.7}


class MaskEvaluation:
    """An object whose mask has no pixel is left out as VOC's difficult ones are, and counted."""

    def __init__(self, num_classes: int):
        self._coco = CocoEvaluation(num_classes, "segm")
        self._matching = {key: Matching(num_classes, least) for key, least in OVERLAPS.items()}
        self._without_pixels = self._without_masks = 0

    def update(self, sample: Sample, answer: Mapping[str, np.ndarray]) -> None:
        """Raises ValueError for masks of another size than their picture."""
        if len(sample.boxes) and not sample.masks:
            self._without_masks += 1
            return
        detections = detections_of(sample.source_id, answer)
        truth, found = truth_masks(sample), found_masks(answer, (sample.height, sample.width))
        empty = np.array([not coco_mask.area(mask) for mask in truth], bool)
        self._without_pixels += int(empty.sum())
        difficult, crowd = flags(sample)
        sample = dataclasses.replace(sample, difficult=difficult | empty)
        self._coco.update(sample, detections, (truth, found))
        shared = np.zeros((len(found), len(truth)))
        if truth and found:
            shared = coco_mask.iou(found, truth, crowd.astype(np.uint8).tolist())
        for matching in self._matching.values():
            matching.update(sample, detections, shared)

    def result(self, labels: Sequence[str]) -> dict[str, Any]:
        """mask_AP and so on, APr50, APr70, and of each class; pictures and objects left out."""
        coco = self._coco.result(labels)
        numbers = {f"mask_{key}": coco[key] for key in KEYS}
        per_class = {
            name: {f"mask_{key}": value for key, value in row.items()}
            for name, row in coco["per_class"].items()
        }
        for key, matching in self._matching.items():
            pascal = voc.voc_metrics_of(matching.matches(), labels)
            numbers[key] = pascal["voc_mAP"]
            for name, row in pascal["per_class"].items():
                per_class[name][key] = row["voc_AP"]
        counts = {
            "pictures_without_masks": self._without_masks,
            "objects_without_pixels": self._without_pixels,
        }
        return {**numbers, **counts, "per_class": per_class}


def truth_masks(sample: Sample) -> list[dict]:
    """Each object's mask, run-length encoded. Raises ValueError for one of another size."""
    found = []
    for index, png in enumerate(sample.masks):
        mask = np.asarray(Image.open(io.BytesIO(png)))
        if mask.shape != (sample.height, sample.width):
            raise ValueError(
                f"{sample.source_id}: the mask of object {index + 1} has "
                f"{mask.shape[1]}x{mask.shape[0]} pixels, the picture {sample.width}x"
                f"{sample.height}"
            )
        found.append(encoded(mask))
    return found


def found_masks(answer: Mapping[str, np.ndarray], size: tuple[int, int]) -> list[dict]:
    """Each detection's mask in pixels of a picture of `size`, run-length encoded."""
    count = int(answer["num_detections"])
    rows = zip(answer["masks"][:count], answer["boxes"][:count], strict=True)
    return [encoded(paste(mask, box, size)) for mask, box in rows]


def encoded(mask: np.ndarray) -> dict:
    """COCO's {"size", "counts"}, counts as bytes."""
    return coco_mask.encode(np.asfortranarray((mask != 0).astype(np.uint8)))
