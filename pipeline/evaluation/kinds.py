"""A detector's errors by kind: what each wrong detection got wrong, and what it costs.

Source: Bolya 2020, TIDE, section 2 (https://arxiv.org/abs/2008.08115): two overlaps decide,
foreground t_f = 0.5 and background t_b = 0.1. A detection that VOC's rule (matching.py) calls
neither right nor ignored is, by its overlap with the objects that count:

class       >= t_f with an object of another class
duplicate   >= t_f with an object of its class, which a detection of a higher score has found
place       t_b to t_f with an object of its class
both        t_b to t_f with an object of another class
background  < t_b with every object

Where two fit the first of the list is meant; but it is a duplicate, not a class, where the object
of its own class is at least as near. An object is `missed` that no detection found, nor would find
with its class or its place put right. Difficult and crowd objects explain nothing and are never
missed; detections that are ignored because of them have no kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.columns import Column
from convoy.pipeline.evaluation.matching import (
    FALSE,
    IGNORED,
    TRUE,
    Matches,
    flags,
    of_picture,
    overlap,
    pair,
)
from convoy.pipeline.evaluation.records import Detections
from convoy.pipeline.evaluation.voc import ap_area, pr_curve

FOREGROUND, BACKGROUND = 0.5, 0.1
KINDS = ("class", "place", "both", "duplicate", "background", "missed")
CLASS, PLACE, BOTH, DUPLICATE, NOTHING, MISSED = range(len(KINDS))
NO_KIND = -1  # of a detection that is right or ignored
MENDABLE = (CLASS, PLACE)  # with one mistake less they would be right


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What became of the D detections and N objects of one picture, at whatever score."""

    order: np.ndarray  # [D] the detections in falling order of score, which the others have too
    kinds: np.ndarray  # [D] of KINDS by number, or NO_KIND
    outcomes: np.ndarray  # [D] TRUE, FALSE or IGNORED
    objects: np.ndarray  # [D] the object that each finds, or would find put right; else -1
    counts: np.ndarray  # [N] bool: neither difficult nor crowd

    def found_at(self, scores: np.ndarray) -> np.ndarray:
        """[N] the score up to which an object is found or nearly found; -1 where it never is.

        scores [D]: in the order of the detections as they were given.
        """
        best = np.full(len(self.counts), -1.0)
        finds = (self.outcomes == TRUE) | np.isin(self.kinds, MENDABLE)
        np.maximum.at(best, self.objects[finds], np.asarray(scores, float)[self.order][finds])
        return best


def seen_of(sample: Sample, detections: Detections) -> Seen:
    """Each detection's kind; what it is depends on those of higher scores alone."""
    difficult, crowd = flags(sample)
    counts = ~(difficult | crowd)
    order = np.argsort(-np.asarray(detections.scores, np.float64), kind="stable")
    boxes, classes = (np.asarray(a)[order] for a in (detections.boxes, detections.classes))
    found, ignored = of_picture(sample, boxes, classes, FOREGROUND)
    kinds, objects = _near(boxes, classes, sample, counts)
    outcomes = np.where(ignored, IGNORED, FALSE)
    candidates = np.flatnonzero((found >= 0) & ~ignored)
    _, earliest = np.unique(found[candidates], return_index=True)
    right = candidates[earliest]
    outcomes[right], objects[right] = TRUE, found[right]
    kinds[outcomes != FALSE] = NO_KIND
    return Seen(order, kinds, outcomes, objects, counts)


class Kinds:
    """Errors picture by picture: 14 bytes for each detection, 5 for each object."""

    def __init__(self, num_classes: int):
        self._num_classes = num_classes
        # Detections, picture by picture, in falling order of score.
        self._scores, self._classes = Column(np.float32), Column(np.int32)
        self._kinds, self._outcomes = Column(np.int8), Column(np.int8)
        self._objects = Column(np.int32)  # in the whole set; -1 where none explains it
        self._truth, self._counts = Column(np.int32), Column(bool)  # of each object

    def update(self, sample: Sample, detections: Detections) -> None:
        seen = seen_of(sample, detections)
        objects = seen.objects
        self._objects.extend(np.where(objects >= 0, objects + len(self._truth), -1))
        self._scores.extend(np.asarray(detections.scores)[seen.order])
        self._classes.extend(np.asarray(detections.classes)[seen.order])
        self._kinds.extend(seen.kinds)
        self._outcomes.extend(seen.outcomes)
        self._truth.extend(sample.classes)
        self._counts.extend(seen.counts)

    def result(self, labels: Sequence[str]) -> dict[str, Any]:
        """{"AP50_cost": {kind: cost}, "per_class": {label: {kind: count}}} of all detections."""
        rows = dict(zip(labels, self.counts().tolist(), strict=True))
        return {
            "AP50_cost": self.costs(),
            "per_class": {label: dict(zip(KINDS, row, strict=True)) for label, row in rows.items()},
        }

    def counts(self, score: float | Sequence[float] = 0.0) -> np.ndarray:
        """[K, 6] int64 in the order of KINDS, of detections with `score` and more.

        score: one threshold, or one per class [K]. A detection counts for the class that it says,
        a missed object for its own. What a detection is depends on those of higher scores alone,
        so a threshold changes no kind; it only leaves more objects unfound.
        """
        counts = np.zeros((self._num_classes, len(KINDS)), np.int64)
        least = np.broadcast_to(np.asarray(score, np.float64), (self._num_classes,))
        classes, kinds = self._classes.array(), self._kinds.array()
        shown = self._scores.array() >= least[classes]
        wrong = shown & (kinds != NO_KIND)
        np.add.at(counts, (classes[wrong], kinds[wrong]), 1)
        np.add.at(counts, (self._truth.array()[self._missed(shown)], MISSED), 1)
        return counts

    def costs(self) -> dict[str, float | None]:
        """By how much mean AP at an overlap of 0.5 (area rule, `voc_mAP`) rises without a kind.

        A class or a place is put right, unless that finds an object twice; other detections are
        left out. Missed objects are: a class of which none is left then counts as 1. The kinds'
        costs do not sum up to 1 - AP50: to mend one uncovers another. None without any object.
        """
        matches, kinds, objects = self._in_order()
        before = _mean_ap(matches, matches.num_truth)
        if before is None:
            return dict.fromkeys(KINDS)
        costs = {}
        for number, kind in enumerate(KINDS[:MISSED]):
            mended = self._mended(matches, kinds == number, objects, number in MENDABLE)
            costs[kind] = _mean_ap(mended, matches.num_truth) - before
        found = np.ones(len(kinds), bool)
        missed = np.bincount(self._truth.array()[self._missed(found)], minlength=self._num_classes)
        left = dataclasses.replace(matches, num_truth=matches.num_truth - missed)
        costs[KINDS[MISSED]] = _mean_ap(left, matches.num_truth) - before
        return costs

    def _missed(self, shown: np.ndarray) -> np.ndarray:
        """[objects] bool: those that count, and that no shown detection finds or nearly finds."""
        kinds = self._kinds.array()
        finds = (self._outcomes.array() == TRUE) | np.isin(kinds, MENDABLE)
        missed = self._counts.array().copy()
        missed[self._objects.array()[shown & finds]] = False
        return missed

    def _in_order(self) -> tuple[Matches, np.ndarray, np.ndarray]:
        """All detections in falling order of score, their kinds and objects."""
        scores = self._scores.array().astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        truth = self._truth.array()[self._counts.array()]
        matches = Matches(
            scores[order],
            self._classes.array().astype(np.int64)[order],
            self._outcomes.array()[order],
            np.bincount(truth, minlength=self._num_classes),
            FOREGROUND,
        )
        return matches, self._kinds.array()[order], self._objects.array()[order]

    def _mended(self, matches: Matches, rows, objects, mendable: bool) -> Matches:
        """The detections of `rows` [M] bool put right where that finds an object, else left out."""
        outcomes, classes = matches.outcomes.copy(), matches.classes.copy()
        outcomes[rows] = IGNORED
        if mendable:
            taken = objects[matches.outcomes == TRUE]
            candidates = np.flatnonzero(rows & ~np.isin(objects, taken))
            _, earliest = np.unique(objects[candidates], return_index=True)
            right = candidates[earliest]
            outcomes[right] = TRUE
            classes[right] = self._truth.array()[objects[right]]
        return dataclasses.replace(matches, outcomes=outcomes, classes=classes)


def errors_by_kind(
    samples: Iterable[Sample], detections: Iterable[Detections], labels: Sequence[str]
) -> dict[str, Any]:
    """`Kinds.result` of a whole set in memory."""
    kinds = Kinds(len(labels))
    for sample, item in pair(samples, detections, len(labels)):
        kinds.update(sample, item)
    return kinds.result(labels)


def _near(boxes, classes, sample: Sample, counts) -> tuple[np.ndarray, np.ndarray]:
    """(the kind that each detection has if it is wrong, the object [D] that explains it or -1)."""
    size = len(classes)
    if not size or not counts.any():
        return np.full(size, NOTHING), np.full(size, -1)
    shared = overlap(boxes, sample.boxes)
    same = classes[:, None] == np.asarray(sample.classes)[None]
    own = np.where(same & counts, shared, 0.0)
    other = np.where(~same & counts, shared, 0.0)
    of_own, of_other = own.max(axis=1), other.max(axis=1)
    kinds = np.select(
        [
            (of_other >= FOREGROUND) & (of_other > of_own),
            of_own >= FOREGROUND,
            of_own >= BACKGROUND,
            of_other >= BACKGROUND,
        ],
        [CLASS, DUPLICATE, PLACE, BOTH],
        NOTHING,
    )
    objects = np.where(kinds == CLASS, other.argmax(axis=1), own.argmax(axis=1))
    return kinds, np.where(np.isin(kinds, MENDABLE), objects, -1)


def _mean_ap(matches: Matches, objects: np.ndarray) -> float | None:
    """Mean of the classes that have `objects` [K]; one without any left is 1."""
    curves = [pr_curve(matches, int(k)) for k in np.flatnonzero(objects)]
    values = [ap_area(c.recall, c.precision) if c.num_truth else 1.0 for c in curves]
    return float(np.mean(values)) if values else None
