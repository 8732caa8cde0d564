"""Numbers of people's keypoints: COCO's AP and AR of OKS, PCK, PCKh and NME, picture by picture.

OKS (https://cocodataset.org/#keypoints-eval): pycocotools matches the people of each picture, with
20 answers of it at most. An object without a labelled keypoint, a crowd and a difficult object are
ignored as COCO's are: neither missed nor, where an answer lies in its box, wrong. Sigmas are
COCO's where the keypoints are COCO's 17, else SIGMA for each. The area is the record's, or the
box's where it has none.

The others are of pairs: in falling order of score each person answered takes the nearest true one
that is free, by the mean distance of the labelled keypoints that it has; none farther than the
longer side of that one's box.

PCK   the part of all labelled keypoints that are found within 0.2 of the longer side of the true
      person's box; of a person without a pair none is (Yang 2013, with boxes of people)
PCKh  the same within half of the distance from head_top to upper_neck (Andriluka 2014 takes 0.6 of
      the diagonal of a head box, which is about this), of people who have both
NME   mean distance of the found labelled keypoints in a pair, the mean over pairs. Of a face over
      the distance between the eyes: of 68 points the outer corners, as 300-W's "inter-ocular", else
      left_eye and right_eye, where both are labelled. Of anything else, as of a body that has
      shoulders, over the diagonal of the box. `nme_by` says which
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval, Params

from convoy.data.sample import Sample
from convoy.models.pose import skeleton
from convoy.pipeline.evaluation.coco import indexed, mean, precision_of
from convoy.pipeline.evaluation.columns import Column
from convoy.pipeline.evaluation.matching import flags

SIGMA = 0.05
NEAR, HEAD = 0.2, 0.5
EYES = {68: (36, 45)}  # of a face's points: data.keypoints.FACE_68
PARAMS = Params("keypoints")
SIZES = ("", "m", "l")  # all, medium, large
MOST = PARAMS.maxDets[-1]
AT_50, AT_75 = 0, 5
KEYS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def sigmas_of(names: Sequence[str]) -> np.ndarray:
    """[K] float64: how far apart people put each keypoint, in parts of a person's size."""
    if not skeleton.is_coco(names):
        return np.full(len(names), SIGMA)
    places = [skeleton.place(names, name) for name in skeleton.COCO]
    sigmas = np.zeros(len(names))
    sigmas[places] = PARAMS.kpt_oks_sigmas
    return sigmas


class Poses:
    """names: of the K keypoints."""

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self._sigmas = sigmas_of(names)
        self._scores = Column(np.float32)
        thresholds = len(PARAMS.iouThrs)
        self._correct = Column(bool, len(SIZES), thresholds)
        self._ignored = Column(bool, len(SIZES), thresholds)
        self._num_truth = np.zeros(len(SIZES), np.int64)
        self._unlabelled = 0
        # Of each labelled person: distances of its keypoints, NaN where unlabelled, infinite where
        # not found; what they are divided by.
        self._far = Column(np.float64, len(self.names))
        self._side, self._head, self._norm = (Column(np.float64) for _ in range(3))
        self._paired = Column(bool)

    def update(self, sample: Sample, answer: Mapping[str, np.ndarray]) -> None:
        """Raises ValueError for records of another number of keypoints."""
        points = truth_of(sample, len(self.names))
        count = int(answer["num_people"])
        found, scores = answer["keypoints"][:count], answer["scores"][:count]
        difficult, crowd = flags(sample)
        labelled = (points[..., 2] > 0).any(1)
        self._unlabelled += int((~labelled & ~crowd).sum())
        self._match(sample, points, labelled & ~difficult, crowd, found, scores)
        counts = labelled & ~difficult & ~crowd
        self._pair(points[counts], np.asarray(sample.boxes)[counts], found, scores)

    def _match(self, sample, points, counts, crowd, found, scores) -> None:
        areas = _areas(sample)
        truth = [
            {
                **_annotation(sample.boxes[n], points[n], n),
                "area": float(areas[n]),
                "iscrowd": int(crowd[n]),
                "num_keypoints": int((points[n, :, 2] > 0).sum()) if counts[n] else 0,
            }
            for n in range(len(points))
        ]
        answered = [
            {**_annotation(_hull(person), person, n), "score": float(score), "iscrowd": 0}
            for n, (person, score) in enumerate(zip(found, scores, strict=True))
        ]
        if not truth and not answered:
            return
        size = sample.height, sample.width
        with contextlib.redirect_stdout(io.StringIO()):
            known = (indexed([0], rows, size) for rows in (truth, answered))
            evaluator = COCOeval(*known, "keypoints")
            evaluator.params.kpt_oks_sigmas = self._sigmas
            evaluator.evaluate()
        sizes = evaluator.evalImgs
        self._num_truth += [np.count_nonzero(np.equal(one["gtIgnore"], 0)) for one in sizes]
        ignored = np.array([one["dtIgnore"] for one in sizes], bool)  # [sizes, T, D]
        matched = np.array([one["dtMatches"] for one in sizes]) > 0
        self._scores.extend(sizes[0]["dtScores"])
        self._correct.extend(np.moveaxis(matched & ~ignored, -1, 0))
        self._ignored.extend(np.moveaxis(ignored, -1, 0))

    def _pair(self, points, boxes, found, scores) -> None:
        sides = boxes[:, 2:] - boxes[:, :2]
        longer = np.maximum(sides.max(-1), 1e-6)
        pairs: dict[int, np.ndarray] = {}
        for n in np.argsort(-scores, kind="stable"):
            free = [m for m in range(len(points)) if m not in pairs]
            far = {m: distances(points[m], found[n]) for m in free}
            means = {m: d[np.isfinite(d)].mean() for m, d in far.items() if np.isfinite(d).any()}
            nearest = min(means, key=means.get, default=None)
            if nearest is not None and means[nearest] <= longer[nearest]:
                pairs[nearest] = far[nearest]
        for m in range(len(points)):
            nobody = np.where(points[m, :, 2] > 0, np.inf, np.nan)
            self._far.extend(pairs.get(m, nobody)[None])
            self._side.extend([longer[m]])
            self._head.extend([_between(points[m], self._places("head_top", "upper_neck"))])
            self._norm.extend([self._normalizer(points[m], sides[m])])
            self._paired.extend([m in pairs])

    def _places(self, one: str, other: str) -> tuple[int, int] | None:
        places = skeleton.place(self.names, one), skeleton.place(self.names, other)
        return None if None in places else places

    @property
    def _eyes(self) -> tuple[int, int] | None:
        if skeleton.place(self.names, "left_shoulder") is not None:
            return None
        return EYES.get(len(self.names)) or self._places("left_eye", "right_eye")

    def _normalizer(self, points, sides) -> float:
        return _between(points, self._eyes) if self._eyes else float(np.linalg.norm(sides))

    def result(self) -> dict[str, Any]:
        """Numbers ready for JSON, None where nothing defines them; per keypoint PCK and NME."""
        far, side, head, norm = (
            column.array() for column in (self._far, self._side, self._head, self._norm)
        )
        labelled = ~np.isnan(far)
        near = _part(far <= NEAR * side[:, None], labelled)
        has_head = labelled & np.isfinite(head)[:, None]
        error = far / norm[:, None]
        kept = np.where(np.isfinite(error), error, np.nan)
        usable = np.isfinite(kept)
        each = [kept[row, usable[row]].mean() for row in range(len(kept)) if usable[row].any()]
        per_class = {
            name: {
                "PCK": _part(far[:, k] <= NEAR * side, labelled[:, k]),
                "NME": float(kept[usable[:, k], k].mean()) if usable[:, k].any() else None,
                "labelled": int(labelled[:, k].sum()),
            }
            for k, name in enumerate(self.names)
        }
        return {
            **self._coco(),
            "PCK": near,
            "PCKh": _part(far <= HEAD * head[:, None], has_head),
            "NME": float(np.mean(each)) if each else None,
            "nme_by": "distance of the eyes" if self._eyes else "diagonal of the box",
            "people": len(far),
            "not_found": int((~self._paired.array()).sum()),
            "without_keypoints": self._unlabelled,
            "per_class": per_class,
        }

    def errors(self) -> np.ndarray:
        """[N] normalized mean error of each pair, rising; people without a pair are infinite."""
        far, norm = self._far.array(), self._norm.array()
        rows = []
        for row, scale, paired in zip(far, norm, self._paired.array(), strict=True):
            usable = np.isfinite(row)
            rows.append(row[usable].mean() / scale if paired and usable.any() else np.inf)
        return np.sort(np.array([row for row in rows if not np.isnan(row)]))

    def _coco(self) -> dict[str, float | None]:
        scores = self._scores.array()
        order = np.argsort(-scores, kind="stable")
        correct, ignored = self._correct.array()[order], self._ignored.array()[order]
        thresholds = len(PARAMS.iouThrs)
        precision = np.full((len(SIZES), thresholds, len(PARAMS.recThrs)), -1.0)
        recall = np.full((len(SIZES), thresholds), -1.0)
        for size in np.flatnonzero(self._num_truth):
            count = self._num_truth[size]
            for t in range(thresholds):
                hit = correct[:, size, t]
                precision[size, t] = precision_of(hit, ~hit & ~ignored[:, size, t], count)
                recall[size, t] = np.count_nonzero(hit) / count
        numbers = []
        for values in (precision, recall):
            numbers += [values[0], values[0, AT_50], values[0, AT_75], values[1], values[2]]
        return dict(zip(KEYS, map(mean, map(np.asarray, numbers)), strict=True))


def truth_of(sample: Sample, count: int) -> np.ndarray:
    """[N, K, (y, x, visibility)] of its objects, zeros where the record has none.

    Raises ValueError for another number of keypoints than `count`.
    """
    number = len(sample.boxes)
    if not sample.keypoints.size:
        return np.zeros((number, count, 3), np.float32)
    if sample.keypoints.shape != (number, count, 3):
        raise ValueError(
            f"{sample.source_id}: expected {count} keypoints of each of {number} objects, the "
            f"record has {sample.keypoints.shape[1]}"
        )
    return sample.keypoints


def distances(points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """[K] pixels; NaN of what is not labelled, infinite of what the answer does not have."""
    far = np.linalg.norm(points[:, :2].astype(np.float64) - person[:, :2], axis=1)
    far = np.where(person[:, 2] > 0, far, np.inf)
    return np.where(points[:, 2] > 0, far, np.nan)


def _between(points: np.ndarray, pair: tuple[int, int] | None) -> float:
    """Pixels between two labelled keypoints; NaN where one is not, or both are in one place."""
    if pair is None or (points[list(pair), 2] <= 0).any():
        return np.nan
    return float(np.linalg.norm(points[pair[0], :2] - points[pair[1], :2])) or np.nan


def _part(right: np.ndarray, among: np.ndarray) -> float | None:
    return float(right[among].mean()) if among.any() else None


def _areas(sample: Sample) -> np.ndarray:
    if len(sample.areas):
        return sample.areas
    return np.prod(sample.boxes[:, 2:] - sample.boxes[:, :2], axis=1)


def _hull(person: np.ndarray) -> np.ndarray:
    """[4] box of the keypoints that a person has."""
    own = person[person[:, 2] > 0, :2] if (person[:, 2] > 0).any() else np.zeros((1, 2))
    return np.concatenate([own.min(0), own.max(0)])


def _annotation(box, points, number: int) -> dict[str, Any]:
    ymin, xmin, ymax, xmax = (float(value) for value in box)
    rows = np.asarray(points, np.float64)[:, [1, 0, 2]]
    return {
        "id": number + 1,  # 0 means "not matched" inside pycocotools
        "image_id": 0,
        "category_id": 0,
        "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
        "area": (xmax - xmin) * (ymax - ymin),
        "keypoints": rows.ravel().tolist(),
    }
