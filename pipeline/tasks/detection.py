"""Boxes with classes."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import confusion, operating, voc
from convoy.pipeline.evaluation.coco import CocoEvaluation
from convoy.pipeline.evaluation.kinds import CLASS, KINDS, MISSED, NO_KIND, Kinds, seen_of
from convoy.pipeline.evaluation.matching import TRUE, Matching, check_classes
from convoy.pipeline.evaluation.operating import SCORE
from convoy.pipeline.evaluation.records import Detections, detections_of
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import EvenlySpread as Chosen
from convoy.pipeline.tasks import RIGHT, VERDICT, Shown

__all__ = [
    "ERRORS",
    "SCORE",
    "Chosen",
    "Metrics",
    "draw",
    "found",
    "judged",
    "named",
    "row",
    "shapes",
    "show",
    "summary",
]

ERRORS = KINDS


class Metrics:
    """COCO's numbers and VOC's, and errors by kind (evaluation/kinds.py)."""

    def __init__(self, labels):
        self.labels = tuple(labels)
        self._coco = CocoEvaluation(len(self.labels))
        self._matching = Matching(len(self.labels))
        self._overlaps = confusion.Overlaps()
        self._kinds = Kinds(len(self.labels))

    def update(self, sample, answer) -> None:
        """Raises ValueError for a class, true or detected, that has no label."""
        detections = detections_of(sample.source_id, answer)
        check_classes(sample, detections, len(self.labels))
        for part in (self._coco, self._matching, self._overlaps, self._kinds):
            part.update(sample, detections)

    def result(self) -> dict:
        coco = self._coco.result(self.labels)
        pascal = voc.voc_metrics_of(self.matches(), self.labels)
        per_class = {
            name: {**row, **pascal["per_class"][name]} for name, row in coco["per_class"].items()
        }
        errors = self._kinds.result(self.labels)
        return {**coco, **pascal, "per_class": per_class, "errors_by_kind": errors}

    def matches(self):
        """What became of each detection, at an overlap of 0.5."""
        return self._matching.matches()

    def confusion(self, thresholds):
        """Who was taken for whom, at one score per class."""
        return self._overlaps.confusion(self.labels, thresholds)

    def errors(self, thresholds) -> dict[str, dict[str, int]]:
        """{class: {kind: count}} of the detections from one score per class on."""
        rows = self._kinds.counts(thresholds).tolist()
        counts = (dict(zip(KINDS, row, strict=True)) for row in rows)
        return dict(zip(self.labels, counts, strict=True))


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


def found(answer, score) -> int:
    return int(kept(answer, score).sum())


def kept(answer, score) -> np.ndarray:
    """[D] bool: detections from `score` on, or from their class's own."""
    count = int(answer["num_detections"])
    return operating.kept(answer["scores"][:count], answer["class_names"][:count], score)


def draw(image, answer, score):
    detections, names = detections_of("", answer), _names(answer)
    labels = sorted(set(names))
    classes = np.array([labels.index(name) for name in names], np.int64)
    shown = kept(answer, score)
    boxes, scores = detections.boxes[shown], detections.scores[shown]
    return overlay.draw(image, boxes, classes[shown], scores, labels)


def show(metrics, numbers, pairs) -> Shown:
    labels, matches = metrics.labels, metrics.matches()
    best = confusion.operating_points(matches, labels)
    points = {name: point["threshold"] for name, point in best.items() if point}
    thresholds = [points.get(name, SCORE) for name in labels]
    curves = [voc.pr_curve(matches, k) for k in range(len(labels))]
    table = metrics.confusion(thresholds)
    costs, errors = numbers["errors_by_kind"]["AP50_cost"], metrics.errors(thresholds)
    total = {kind: sum(row[kind] for row in errors.values()) for kind in KINDS}
    samples = [sample for sample, _ in pairs]
    detections = [detections_of(sample.source_id, answer) for sample, answer in pairs]
    return Shown(
        {
            "Precision and recall": plots.png(plots.pr_curves(curves, labels)),
            "Confusion": plots.png(plots.confusion_matrix(table, labels)),
            "Errors by kind": plots.png(plots.errors_by_kind(costs, total)),
        },
        overlay.gallery(samples, detections, labels, thresholds, len(pairs)),
        "Truth on the left; on the right detections above each class's score of best F1.",
        points=points,
        tables={
            "Errors by kind: what they cost of AP50": {"all": costs},
            "Errors by kind: how many, above each class's score of best F1": {
                "all": total,
                **errors,
            },
        },
    )


def _names(answer) -> list[str]:
    return [name.decode() for name in answer["class_names"][: answer["num_detections"]]]


def judged(sample, line, labels) -> np.ndarray:
    """Each detection by its kind, as bad as it is sure; each object, which is missed below the
    score of the best that finds it. What is ignored is neither right nor wrong."""
    detections = _of_line(sample.source_id, line)
    check_classes(sample, detections, len(labels))
    seen = seen_of(sample, detections)
    classes, scores = detections.classes[seen.order], detections.scores[seen.order]
    told = np.zeros(len(classes), VERDICT)
    told["said"], told["score"], told["amount"] = classes, scores, scores
    told["kind"] = np.where(seen.kinds == NO_KIND, RIGHT, seen.kinds)
    known = (seen.kinds == CLASS) | (seen.outcomes == TRUE)
    told["truth"] = -1
    told["truth"][known] = np.asarray(sample.classes)[seen.objects[known]]
    told = told[(seen.kinds != NO_KIND) | (seen.outcomes == TRUE)]
    objects = np.zeros(int(seen.counts.sum()), VERDICT)
    objects["truth"] = np.asarray(sample.classes)[seen.counts]
    objects["said"], objects["kind"], objects["amount"] = -1, MISSED, 1
    objects["score"], objects["below"] = seen.found_at(detections.scores)[seen.counts], True
    return np.concatenate([told, objects])


def shapes(line, labels) -> dict:
    rows = zip(line["boxes"], line["scores"], line["classes"], strict=True)
    return {
        "objects": [{"box": box, "score": score, "class": int(k)} for box, score, k in rows],
    }


def _of_line(source_id: str, line) -> Detections:
    boxes = np.array(line["boxes"], np.float32).reshape(-1, 4)
    classes = np.array(line["classes"], np.int64)
    return Detections(source_id, boxes, np.array(line["scores"], np.float32), classes)
