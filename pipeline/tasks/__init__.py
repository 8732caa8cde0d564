"""What the evaluator does differently for each task: one module a task, with these functions.

predictions(samples, outputs, matrices)   decoded outputs of a batch -> one prediction a sample,
                                          in pixels of its picture (matrices [B, 3, 3], or None)
received(samples, answers)                the same of a served model's answers
score(samples, predictions, labels)       all metrics, and "per_class"
row(prediction)                           one for predictions.jsonl
show(samples, predictions, labels, metrics, count)   what the report shows of them
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# What the gate looks at where the recipe names no metric.
GATE_METRIC = {
    "classification": "top1",
    "multilabel": "voc_mAP",
    "localization": "loc_top1",
    "detection": "AP50",
    "text": "top1",
}
# What it may be told to look at: numbers of which more is better.
_CLASSES = ("top1", "top5")
METRICS = {
    "classification": _CLASSES,
    "multilabel": ("voc_mAP", "voc07_mAP", "exact_match", "F1", "macro_F1"),
    "localization": ("loc_top1", "loc_top5", "iou50", "mean_iou", *_CLASSES),
    "detection": (
        *("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
        *("voc07_mAP", "voc_mAP"),
    ),
    "text": _CLASSES,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """The task's part of the report."""

    figures: Mapping[str, bytes]  # caption -> PNG
    gallery: Sequence = ()  # PIL pictures
    note: str = ""  # above the gallery
    examples: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    points: Mapping[str, float] = dataclasses.field(default_factory=dict)  # class -> score


def of(task: str):
    """The module of a task."""
    return importlib.import_module(f"convoy.pipeline.tasks.{task}")


def spread(count: int, wanted: int) -> list[int]:
    """Indices of `wanted` samples spread evenly over all."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(wanted, count))})
