"""Classification: top-1, top-5, and per class from the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Ranks:
    """Counts of one class per picture: how often it ranked first, among five, and as what."""

    def __init__(self, num_classes: int):
        self._first = self._among_five = self._pictures = 0
        self._confusion = np.zeros((num_classes, num_classes), np.int64)

    def update(self, label: int, scores: np.ndarray) -> int:
        """Counts one picture, scores [K] (logits or probabilities); returns its class's rank.

        0 is the best; of equal scores the lower class is. Raises ValueError for a label outside
        0..K-1, scores of another length, and scores that are not finite.
        """
        num_classes = len(self._confusion)
        scores = np.asarray(scores, np.float64)
        if scores.shape != (num_classes,):
            raise ValueError(f"expected scores [{num_classes}], got {list(scores.shape)}")
        if not 0 <= label < num_classes:
            raise ValueError(f"expected a label in 0..{num_classes - 1}, got {label}")
        if not np.isfinite(scores).all():
            raise ValueError("expected finite scores, got NaN or infinity")
        higher = np.count_nonzero(scores > scores[label])
        rank = higher + np.count_nonzero(scores[:label] == scores[label])
        self._pictures += 1
        self._first += rank < 1
        self._among_five += rank < 5
        self._confusion[label, scores.argmax()] += 1
        return rank

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        """Numbers ready for JSON.

        top1, top5: part of the pictures whose class is among the 1 or 5 highest scores. With K <= 5
        classes top5 is 1.0 by definition.
        confusion: [K, K] counts, row = truth, column = highest score.
        per_class: recall = right / pictures of the class, which is also what "accuracy" of a class
        means in the literature; precision = right / pictures called so; F1 = 2 P R / (P + R).
        A quotient of 0/0 is None; F1 is None for a class without pictures.
        """
        per_class = {}
        truths, calls = self._confusion.sum(axis=1), self._confusion.sum(axis=0)
        for k, name in enumerate(names):
            correct, truth, called = self._confusion[k, k], truths[k], calls[k]
            recall = _fraction(correct, truth)
            per_class[name] = {
                "accuracy": recall,
                "precision": _fraction(correct, called),
                "recall": recall,
                "F1": _fraction(2 * correct, truth + called) if truth else None,
                "pictures": int(truth),
            }
        return {
            "top1": _fraction(self._first, self._pictures),
            "top5": _fraction(self._among_five, self._pictures),
            "pictures": self._pictures,
            "per_class": per_class,
            "confusion": self._confusion.tolist(),
        }


def classification_metrics(
    labels: np.ndarray, scores: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """[N] true classes and [N, K] scores in memory -> `Ranks.result`."""
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
    ranks = Ranks(num_classes)
    for label, row in zip(labels.tolist(), scores, strict=True):
        ranks.update(label, row)
    return ranks.result(names)


def _fraction(count: int, total: int) -> float | None:
    return float(count / total) if total else None
