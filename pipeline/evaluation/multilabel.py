"""Several classes per picture: VOC's average precision by class, and what the decisions are worth.

VOC's classification task (Everingham 2010, section 4.1): a class's pictures are ranked by its
score; pictures whose only objects of the class are difficult are left out of its ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.columns import Column
from convoy.pipeline.evaluation.matching import FALSE, IGNORED, TRUE, Matches, flags
from convoy.pipeline.evaluation.voc import Curve, ap_11_point, ap_area, pr_curve

YES, NO, UNKNOWN = TRUE, FALSE, IGNORED
SHUFFLES = 20  # rankings by chance


def truth(sample: Sample, num_classes: int) -> np.ndarray:
    """[K] YES, NO, or UNKNOWN where all objects of the class are difficult or crowds.

    The classes of the picture, and of its objects.
    """
    answers = np.full(num_classes, NO, np.int64)
    difficult, crowd = flags(sample)
    answers[sample.classes[difficult | crowd]] = UNKNOWN
    answers[sample.classes[~(difficult | crowd)]] = YES
    answers[sample.labels] = YES
    return answers


class Decisions:
    """What is kept of each picture: per class the truth, the score and the decision, six bytes."""

    def __init__(self, num_classes: int):
        self._truth = Column(np.int8, num_classes)
        self._scores = Column(np.float32, num_classes)
        self._chosen = Column(bool, num_classes)

    def update(self, sample: Sample, scores: np.ndarray, chosen: np.ndarray) -> None:
        """scores [K], chosen [K] bool."""
        self._truth.extend([truth(sample, np.size(scores))])
        self._scores.extend([scores])
        self._chosen.extend([chosen])

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        arrays = self._truth.array(), self._scores.array(), self._chosen.array()
        return multilabel_metrics(*arrays, names)

    def curves(self) -> list[Curve]:
        """Precision and recall of each class."""
        columns = zip(self._truth.array().T, self._scores.array().T, strict=True)
        return [curve(*column) for column in columns]


def curve(truth: np.ndarray, scores: np.ndarray) -> Curve:
    """[N] truth and scores of one class -> its curve; equal scores rank in the order given."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    zeros = np.zeros(len(order), np.int64)
    num_truth = np.array([np.count_nonzero(truth == YES)])
    return pr_curve(Matches(np.asarray(scores)[order], zeros, truth[order], num_truth, 0.0), 0)


def multilabel_metrics(
    truth: np.ndarray, scores: np.ndarray, chosen: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """[N, K] truth (YES, NO, UNKNOWN), scores and decisions (bool) -> numbers ready for JSON.

    voc_mAP, voc07_mAP: means over the classes that some picture holds. chance_mAP: the voc_mAP of
    pictures in random order, which is what it takes to know nothing; of few pictures it is higher
    than the part of them that holds a class. exact_match: part of the pictures whose decisions are
    all right. F1: of all decisions together; macro_F1: the mean over classes. What is UNKNOWN
    counts nowhere.
    """
    if not truth.shape == scores.shape == chosen.shape or truth.shape[1:] != (len(names),):
        raise ValueError(
            f"expected three arrays [N, {len(names)}], got {truth.shape}, {scores.shape} and "
            f"{chosen.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores")
    yes, labelled = truth == YES, truth != UNKNOWN
    correct = (chosen & yes).sum(axis=0)
    predicted = (chosen & labelled).sum(axis=0)
    positives = yes.sum(axis=0)
    per_class = {}
    for k, name in enumerate(names):
        ranked = curve(truth[:, k], scores[:, k])
        present = bool(positives[k])
        per_class[name] = {
            "voc_AP": ap_area(ranked.recall, ranked.precision) if present else None,
            "voc07_AP": ap_11_point(ranked.recall, ranked.precision) if present else None,
            "chance_AP": _chance(truth[:, k]) if present else None,
            "precision": _fraction(correct[k], predicted[k]),
            "recall": _fraction(correct[k], positives[k]),
            "F1": _fraction(2 * correct[k], predicted[k] + positives[k]) if present else None,
            "pictures": int(positives[k]),
        }
    exact = ((chosen == yes) | ~labelled).all(axis=1)
    return {
        "voc_mAP": _mean(per_class, "voc_AP"),
        "voc07_mAP": _mean(per_class, "voc07_AP"),
        "chance_mAP": _mean(per_class, "chance_AP"),
        "exact_match": float(exact.mean()) if len(exact) else None,
        "F1": _fraction(2 * correct.sum(), predicted.sum() + positives.sum()),
        "macro_F1": _mean(per_class, "F1"),
        "pictures": len(truth),
        "per_class": per_class,
    }


def _chance(truth: np.ndarray) -> float:
    """Mean average precision of SHUFFLES random orders, always the same ones."""
    rng = np.random.default_rng(0)
    curves = (curve(truth, rng.random(len(truth))) for _ in range(SHUFFLES))
    return float(np.mean([ap_area(ranked.recall, ranked.precision) for ranked in curves]))


def _fraction(count, total) -> float | None:
    return float(count / total) if total else None


def _mean(per_class: dict[str, dict], column: str) -> float | None:
    values = [row[column] for row in per_class.values() if row[column] is not None]
    return float(np.mean(values)) if values else None
