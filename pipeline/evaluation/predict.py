"""Run a network over a split of records and score it; trainer and evaluator share this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from convoy.data.example import decode
from convoy.data.input.input import Stream, evaluation_batches
from convoy.data.sample import Sample
from convoy.pipeline import tasks
from convoy.pipeline.config import Export
from convoy.pipeline.tasks import GATE_METRIC

__all__ = ["GATE_METRIC", "predictor", "run", "score"]
# What of a recipe's `export` the decoding of a task takes.
LIMITS = {
    "detection": ("score_threshold", "iou_threshold", "max_detections"),
    "multilabel": ("label_threshold", "label_count"),
}


def predictor(task, export: Export):
    """A tf.function: images [B, H, W, C], or sentences [B] -> decoded outputs."""
    limits = {name: getattr(export, name) for name in LIMITS.get(task.info.task, ())}

    @tf.function(reduce_retracing=True)
    def predict(inputs):
        if task.tokens is not None:
            inputs = task.tokens(inputs)
        return task.decode(task.model(inputs, training=False), **limits)

    return predict


def run(predict, stream: Stream, task: str) -> tuple[list[Sample], list]:
    """All samples of a split with the prediction of each, see pipeline/tasks."""
    module = tasks.of(task)
    samples: list[Sample] = []
    results: list = []
    for batch in evaluation_batches(stream):
        found = [decode(record) for record in batch["serialized"].numpy()]
        inputs = batch["image"] if "image" in batch else batch["sentence"]
        outputs = {name: value.numpy() for name, value in predict(inputs).items()}
        matrices = batch["matrix"].numpy() if "matrix" in batch else None
        samples += found
        results += module.predictions(found, outputs, matrices)
    return samples, results


def score(
    task: str, samples: Sequence[Sample], predictions: Sequence, labels: Sequence[str]
) -> dict[str, Any]:
    """All metrics of a task, such as top1, top5 or AP, voc_mAP; and "per_class"."""
    return tasks.of(task).score(samples, predictions, labels)
