"""A class and a box per picture: ILSVRC's single-object localisation.

Russakovsky 2015, section 4.2 (https://arxiv.org/abs/1409.0575): an answer is right where class and
box are, the box where its intersection over union with the true one is at least 0.5. Here there is
one true box, that of the largest object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.classification import Ranks
from convoy.pipeline.evaluation.columns import Column
from convoy.pipeline.evaluation.matching import flags, overlap

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


class Localization:
    """Numbers of one class and one box per picture, picture by picture."""

    def __init__(self, num_classes: int):
        self._ranks = Ranks(num_classes)
        self._without_object = 0
        # Per picture with an object: its class and that class's rank, overlap and distance.
        self._truth, self._rank = Column(np.int32), Column(np.int32)
        self._shared, self._far = Column(np.float64), Column(np.float64, 4)

    def update(self, sample: Sample, scores: np.ndarray, box: np.ndarray) -> None:
        """scores [K]; box [4] in pixels of the picture."""
        aim = target(sample)
        if aim is None:
            self._without_object += 1
            return
        true_box, label = aim
        self._rank.extend([self._ranks.update(label, scores)])
        self._truth.extend([label])
        self._shared.extend(overlap(box, true_box)[0])
        self._far.extend([np.abs(box - true_box) / ([sample.height, sample.width] * 2)])

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        """Numbers ready for JSON; pictures without an object count as `without_object` alone.

        top1, top5, confusion: of the classes. iou50: part of the pictures whose box is right;
        loc_top1: whose class and box are; loc_top5: with the class among the five of highest score,
        all with the one box. mean_iou; box_error: mean distance of a corner's coordinate, in parts
        of the side.
        """
        metrics = self._ranks.result(names)
        metrics["without_object"] = self._without_object
        truth, rank, shared = self._truth.array(), self._rank.array(), self._shared.array()
        fits = shared >= IOU
        per_class = metrics.pop("per_class")
        for k, name in enumerate(names):
            own = truth == k
            per_class[name]["iou50"] = _mean(fits[own])
            per_class[name]["loc_top1"] = _mean((fits & (rank < 1))[own])
        numbers = {
            "loc_top1": _mean(fits & (rank < 1)),
            "loc_top5": _mean(fits & (rank < 5)),
            "iou50": _mean(fits),
            "mean_iou": _mean(shared),
            "box_error": _mean(self._far.array()),
        }
        return {**numbers, **metrics, "per_class": per_class}


def localization_metrics(
    samples: Iterable[Sample], answers: Iterable[Mapping[str, np.ndarray]], names: Sequence[str]
) -> dict[str, Any]:
    """`Localization` of a whole set in memory; answers hold `scores` [K] and `box` [4]."""
    localization = Localization(len(names))
    for sample, answer in zip(samples, answers, strict=True):
        localization.update(sample, answer["scores"], answer["box"])
    return localization.result(names)


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
