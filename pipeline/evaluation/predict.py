"""Run a network over a split of records and score it; trainer and evaluator share this."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data.example import decode
from data.input import Stream, evaluation_batches
from data.sample import Sample
from models.spec import Classifier, Detector
from pipeline.config import Export
from pipeline.evaluation.classification import classification_metrics
from pipeline.evaluation.coco import coco_metrics
from pipeline.evaluation.records import Detections
from pipeline.evaluation.voc import voc_metrics

GATE_METRIC = {"classification": "top1", "detection": "AP50"}


def predictor(task: Classifier | Detector, export: Export):
    """A tf.function: images [B, H, W, C] -> decoded outputs."""

    @tf.function(reduce_retracing=True)
    def predict(images):
        outputs = task.model(images, training=False)
        if isinstance(task, Classifier):
            return task.decode(outputs)
        return task.decode(
            outputs,
            score_threshold=export.score_threshold,
            iou_threshold=export.iou_threshold,
            max_detections=export.max_detections,
        )

    return predict


def run(predict, stream: Stream) -> tuple[list[Sample], list[Detections] | np.ndarray]:
    """All samples of a split with the detections, or the scores [N, K], of each."""
    samples: list[Sample] = []
    results: list = []
    for batch in evaluation_batches(stream):
        found = [decode(record) for record in batch["serialized"].numpy()]
        outputs = {name: value.numpy() for name, value in predict(batch["image"]).items()}
        samples += found
        if stream.task == "classification":
            results.append(outputs["scores"])
            continue
        for i, sample in enumerate(found):
            results.append(_detections(sample, outputs, i, batch["matrix"][i].numpy()))
    if stream.task == "classification":
        return samples, np.concatenate(results)
    return samples, results


def score(
    task: str,
    samples: Sequence[Sample],
    predictions: list[Detections] | np.ndarray,
    labels: Sequence[str],
) -> dict:
    """All metrics of a task: top1, top5, ... or AP ... voc07_mAP, voc_mAP; and "per_class"."""
    if task == "classification":
        truth = np.array([sample.labels[0] for sample in samples])
        return classification_metrics(truth, predictions, labels)
    coco = coco_metrics(samples, predictions, labels)
    voc = voc_metrics(samples, predictions, labels)
    per_class = {
        name: {**coco["per_class"][name], **voc["per_class"][name]} for name in coco["per_class"]
    }
    return {**coco, **voc, "per_class": per_class}


def _detections(sample: Sample, outputs: dict, i: int, matrix: np.ndarray) -> Detections:
    """Row i of a batch, moved from input pixels back to the picture's and clipped to it."""
    valid = outputs["valid"][i].astype(bool)
    scale = np.array([matrix[1, 1], matrix[0, 0]] * 2)
    shift = np.array([matrix[1, 2], matrix[0, 2]] * 2)
    boxes = (outputs["boxes"][i][valid] - shift) / scale
    limit = np.array([sample.height, sample.width] * 2)
    return Detections(
        sample.source_id,
        np.clip(boxes, 0, limit).astype(np.float32),
        outputs["scores"][i][valid],
        outputs["classes"][i][valid].astype(np.int64),
    )
