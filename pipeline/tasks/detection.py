"""Boxes with classes."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import confusion, voc
from convoy.pipeline.evaluation.coco import CocoEvaluation
from convoy.pipeline.evaluation.matching import Matching, check_classes
from convoy.pipeline.evaluation.records import detections_of
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import EvenlySpread as Chosen
from convoy.pipeline.tasks import Shown

__all__ = ["Chosen", "Metrics", "draw", "named", "row", "show", "summary"]
SCORE = 0.5  # of the confusion matrix and the gallery, where no operating point is known


class Metrics:
    """COCO's numbers and VOC's."""

    def __init__(self, labels):
        self.labels = tuple(labels)
        self._coco = CocoEvaluation(len(self.labels))
        self._matching = Matching(len(self.labels))
        self._overlaps = confusion.Overlaps()

    def update(self, sample, answer) -> None:
        """Raises ValueError for a class, true or detected, that has no label."""
        detections = detections_of(sample.source_id, answer)
        check_classes(sample, detections, len(self.labels))
        for part in (self._coco, self._matching, self._overlaps):
            part.update(sample, detections)

    def result(self) -> dict:
        coco = self._coco.result(self.labels)
        pascal = voc.voc_metrics_of(self.matches(), self.labels)
        per_class = {
            name: {**row, **pascal["per_class"][name]} for name, row in coco["per_class"].items()
        }
        return {**coco, **pascal, "per_class": per_class}

    def matches(self):
        """What became of each detection, at an overlap of 0.5."""
        return self._matching.matches()

    def confusion(self, thresholds):
        """Who was taken for whom, at one score per class."""
        return self._overlaps.confusion(self.labels, thresholds)


def row(answer) -> dict:
    detections = detections_of("", answer)
    return {
        "boxes": np.round(detections.boxes, 2).tolist(),
        "scores": np.round(detections.scores, 4).tolist(),
        "classes": detections.classes.tolist(),
    }


def named(answer) -> dict:
    detections = detections_of("", answer)
    rows = zip(detections.boxes, detections.scores, _names(answer), strict=True)
    return {
        "detections": [
            {"box": box.tolist(), "score": float(score), "class": name} for box, score, name in rows
        ]
    }


def summary(answer) -> str:
    return ""


def draw(image, answer, score):
    detections, names = detections_of("", answer), _names(answer)
    labels = sorted(set(names))
    classes = np.array([labels.index(name) for name in names], np.int64)
    shown = detections.scores >= score
    boxes, scores = detections.boxes[shown], detections.scores[shown]
    return overlay.draw(image, boxes, classes[shown], scores, labels)


def show(metrics, numbers, pairs) -> Shown:
    labels, matches = metrics.labels, metrics.matches()
    best = confusion.operating_points(matches, labels)
    points = {name: point["threshold"] for name, point in best.items() if point}
    thresholds = [points.get(name, SCORE) for name in labels]
    curves = [voc.pr_curve(matches, k) for k in range(len(labels))]
    table = metrics.confusion(thresholds)
    samples = [sample for sample, _ in pairs]
    detections = [detections_of(sample.source_id, answer) for sample, answer in pairs]
    return Shown(
        {
            "Precision and recall": plots.png(plots.pr_curves(curves, labels)),
            "Confusion": plots.png(plots.confusion_matrix(table, labels)),
        },
        overlay.gallery(samples, detections, labels, thresholds, len(pairs)),
        "Truth on the left; on the right detections above each class's score of best F1.",
        points=points,
    )


def _names(answer) -> list[str]:
    return [name.decode() for name in answer["class_names"][: answer["num_detections"]]]
