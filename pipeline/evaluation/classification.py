"""Classification: top-1, top-5, and per class from the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def classification_metrics(
    labels: np.ndarray, scores: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """[N] true classes and [N, K] scores (logits or probabilities) -> numbers ready for JSON.

    top1, top5: part of the pictures whose class is among the 1 or 5 highest scores; equal scores
    rank the lower class first. With K <= 5 classes top5 is 1.0 by definition.
    confusion: [K, K] counts, row = truth, column = highest score.
    per_class: recall = right / pictures of the class, which is also what "accuracy" of a class
    means in the literature; precision = right / pictures called so; F1 = 2 P R / (P + R).
    A quotient of 0/0 is None; F1 is None for a class without pictures.
    """
    labels, scores = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    num_classes = len(names)
    if labels.ndim != 1 or scores.shape != (len(labels), num_classes):
        raise ValueError(
            f"expected labels [N] and scores [N, {num_classes}], "
            f"got {labels.shape} and {scores.shape}"
        )
    if np.any((labels < 0) | (labels >= num_classes)):
        raise ValueError(
            f"labels must lie in 0..{num_classes - 1}, got {labels.min()}..{labels.max()}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scores of {int((~np.isfinite(scores)).any(1).sum())} pictures not finite"
        )
    if not len(labels):
        confusion = np.zeros((num_classes, num_classes), np.int64)
        return {"top1": None, "top5": None, "pictures": 0, **_from_confusion(confusion, names)}
    own = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(num_classes)[None] < labels[:, None]
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    confusion = np.bincount(
        labels * num_classes + scores.argmax(axis=1), minlength=num_classes**2
    ).reshape(num_classes, num_classes)
    return {
        "top1": float((rank < 1).mean()),
        "top5": float((rank < 5).mean()),
        "pictures": len(labels),
        **_from_confusion(confusion, names),
    }


def _from_confusion(confusion: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    per_class = {}
    for k, name in enumerate(names):
        right, truth, called = confusion[k, k], confusion[k].sum(), confusion[:, k].sum()
        recall = _part(right, truth)
        per_class[name] = {
            "accuracy": recall,
            "precision": _part(right, called),
            "recall": recall,
            "F1": _part(2 * right, truth + called) if truth else None,
            "pictures": int(truth),
        }
    return {"per_class": per_class, "confusion": confusion.tolist()}


def _part(count: int, whole: int) -> float | None:
    return float(count / whole) if whole else None
