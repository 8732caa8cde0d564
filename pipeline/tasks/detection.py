"""Boxes with classes; a prediction is a `Detections`."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import confusion, voc
from convoy.pipeline.evaluation.coco import coco_metrics
from convoy.pipeline.evaluation.matching import match
from convoy.pipeline.evaluation.records import Detections, to_picture
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.tasks import Shown, spread

SCORE = 0.5  # of the confusion matrix and the gallery, where no operating point is known


def predictions(samples, outputs, matrices) -> list[Detections]:
    found = []
    for i, sample in enumerate(samples):
        valid = outputs["valid"][i].astype(bool)
        found.append(
            Detections(
                sample.source_id,
                to_picture(outputs["boxes"][i][valid], matrices[i], sample),
                outputs["scores"][i][valid],
                outputs["classes"][i][valid].astype(np.int64),
            )
        )
    return found


def received(samples, answers) -> list[Detections]:
    found = []
    for i, sample in enumerate(samples):
        count = int(answers["num_detections"][i])
        boxes, scores, classes = (
            answers[name][i][:count] for name in ("boxes", "scores", "classes")
        )
        found.append(Detections(sample.source_id, boxes, scores, classes.astype(np.int64)))
    return found


def score(samples, predictions, labels) -> dict:
    coco = coco_metrics(samples, predictions, labels)
    pascal = voc.voc_metrics(samples, predictions, labels)
    per_class = {
        name: {**coco["per_class"][name], **pascal["per_class"][name]} for name in coco["per_class"]
    }
    return {**coco, **pascal, "per_class": per_class}


def row(prediction) -> dict:
    return {
        "boxes": np.round(prediction.boxes, 2).tolist(),
        "scores": np.round(prediction.scores, 4).tolist(),
        "classes": prediction.classes.tolist(),
    }


def show(samples, predictions, labels, metrics, count: int) -> Shown:
    matches = match(samples, predictions, len(labels))
    best = confusion.operating_points(matches, labels)
    points = {name: point["threshold"] for name, point in best.items() if point}
    thresholds = [points.get(name, SCORE) for name in labels]
    curves = [voc.pr_curve(matches, k) for k in range(len(labels))]
    table = confusion.detection_confusion(samples, predictions, labels, score=thresholds)
    shown = spread(len(samples), count)
    return Shown(
        {
            "Precision and recall": plots.png(plots.pr_curves(curves, labels)),
            "Confusion": plots.png(plots.confusion_matrix(table, labels)),
        },
        overlay.gallery(
            [samples[i] for i in shown],
            [predictions[i] for i in shown],
            labels,
            thresholds,
            count,
        ),
        "Truth on the left; on the right detections above each class's score of best F1.",
        points=points,
    )
