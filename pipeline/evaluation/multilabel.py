"""Several classes a picture: VOC's average precision by class, and what the decisions are worth.

VOC's classification task (Everingham 2010, section 4.1): a class's pictures are ranked by its
score; pictures whose only objects of the class are difficult are left out of its ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.matching import FALSE, IGNORED, TRUE, Matches, flags
from convoy.pipeline.evaluation.voc import Curve, ap_11_point, ap_area, pr_curve

YES, NO, UNKNOWN = TRUE, FALSE, IGNORED
SHUFFLES = 20  # rankings by chance


def truth(sample: Sample, num_classes: int) -> np.ndarray:
    """[K] YES, NO, or UNKNOWN where all objects of the class are difficult or crowds.

    The classes of the picture, and of its objects.
    """
    found = np.full(num_classes, NO, np.int64)
    difficult, crowd = flags(sample)
    found[sample.classes[difficult | crowd]] = UNKNOWN
    found[sample.classes[~(difficult | crowd)]] = YES
    found[sample.labels] = YES
    return found


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
    yes, known = truth == YES, truth != UNKNOWN
    right = (chosen & yes).sum(axis=0)
    said = (chosen & known).sum(axis=0)
    true = yes.sum(axis=0)
    per_class = {}
    for k, name in enumerate(names):
        found = curve(truth[:, k], scores[:, k])
        held = bool(true[k])
        per_class[name] = {
            "voc_AP": ap_area(found.recall, found.precision) if held else None,
            "voc07_AP": ap_11_point(found.recall, found.precision) if held else None,
            "chance_AP": _chance(truth[:, k]) if held else None,
            "precision": _part(right[k], said[k]),
            "recall": _part(right[k], true[k]),
            "F1": _part(2 * right[k], said[k] + true[k]) if held else None,
            "pictures": int(true[k]),
        }
    exact = ((chosen == yes) | ~known).all(axis=1)
    return {
        "voc_mAP": _mean(per_class, "voc_AP"),
        "voc07_mAP": _mean(per_class, "voc07_AP"),
        "chance_mAP": _mean(per_class, "chance_AP"),
        "exact_match": float(exact.mean()) if len(exact) else None,
        "F1": _part(2 * right.sum(), said.sum() + true.sum()),
        "macro_F1": _mean(per_class, "F1"),
        "pictures": len(truth),
        "per_class": per_class,
    }


def _chance(truth: np.ndarray) -> float:
    """Mean average precision of SHUFFLES random orders, always the same ones."""
    rng = np.random.default_rng(0)
    curves = (curve(truth, rng.random(len(truth))) for _ in range(SHUFFLES))
    return float(np.mean([ap_area(found.recall, found.precision) for found in curves]))


def _part(count, whole) -> float | None:
    return float(count / whole) if whole else None


def _mean(per_class: dict[str, dict], column: str) -> float | None:
    values = [row[column] for row in per_class.values() if row[column] is not None]
    return float(np.mean(values)) if values else None
