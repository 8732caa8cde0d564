"""How well label maps agree: a confusion matrix of pixels, and how well their borders do.

Long 2014 https://arxiv.org/abs/1411.4038 section 5, of n_ij, the pixels of class i that were taken
for class j, and t_i = sum_j n_ij:

    pixel_accuracy  sum_i n_ii / sum_i t_i
    mean_accuracy   mean over classes of n_ii / t_i
    mIoU            mean over classes of n_ii / (t_i + sum_j n_ji - n_ii)
    fwIoU           sum_i t_i IoU_i / sum_i t_i

Csurka 2013, What is a good evaluation measure for semantic segmentation?, section 3.2:

    boundary_F1     of a class in a picture 2 P R / (P + R): P the part of the answer's border
                    pixels that have one of the truth within `REACH` of the picture's diagonal, R
                    the part of the truth's; mean over the classes of a picture, then over pictures
                    that have a border

Everything is counted at the picture's own size; pixels that are IGNORE in the truth do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

IGNORE = 255
REACH = 0.0075


class Pixels:
    """Numbers of label maps, picture by picture; what is kept has the size of the classes alone."""

    def __init__(self, num_classes: int):
        self._counts = np.zeros((num_classes, num_classes), np.int64)  # rows: truth
        self._border = np.zeros((num_classes, 2))  # per class: sum of F1, pictures
        self._pictures = np.zeros(2)  # sum of the pictures' mean F1, pictures
        self._ignored = 0

    def update(self, truth: np.ndarray, found: np.ndarray) -> None:
        """Both uint8 [H, W]. Raises ValueError for other sizes and for values that are no class."""
        classes = len(self._counts)
        if truth.shape != found.shape:
            raise ValueError(
                f"the label map has {_size(truth)} pixels, the answer {_size(found)}: expected "
                "the picture's size of both"
            )
        counts, ignored = confusion(truth, found, classes)
        self._counts += counts
        self._ignored += ignored
        scores = boundary_f1(truth, found)
        for label, score in scores.items():
            self._border[label] += (score, 1)
        if scores:
            self._pictures += (np.mean(list(scores.values())), 1)

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        """Numbers ready for JSON; None where nothing was to be measured.

        confusion [K, K]: pixels, rows are the truth; ignored_pixels: how many had no truth.
        """
        numbers = from_confusion(self._counts)
        iou, accuracy = numbers.pop("iou"), numbers.pop("accuracy")
        total = max(int(self._counts.sum()), 1)
        per_class = {
            name: {
                "IoU": _number(iou[k]),
                "accuracy": _number(accuracy[k]),
                "boundary_F1": _part(*self._border[k]),
                "share": float(self._counts[k].sum() / total),
            }
            for k, name in enumerate(names)
        }
        return {
            **numbers,
            "boundary_F1": _part(*self._pictures),
            "ignored_pixels": self._ignored,
            "confusion": self._counts.tolist(),
            "per_class": per_class,
        }


def confusion(truth: np.ndarray, found: np.ndarray, classes: int) -> tuple[np.ndarray, int]:
    """([K, K] int64 pixels, rows the truth, how many are IGNORE). Raises ValueError."""
    counted = truth != IGNORE
    one, other = truth[counted].astype(np.int64), found[counted].astype(np.int64)
    highest = max(one.max(initial=0), other.max(initial=0))
    if highest >= classes:
        raise ValueError(f"a pixel has class {highest}; expected 0..{classes - 1} or {IGNORE}")
    counts = np.bincount(one * classes + other, minlength=classes**2)
    return counts.reshape(classes, classes), truth.size - len(one)


def from_confusion(counts: np.ndarray) -> dict[str, Any]:
    """The four numbers, and "iou" and "accuracy" [K], NaN of a class without pixels.

    mean_accuracy is over the classes of the truth, mIoU also over those that were found in vain.
    """
    right, truth = np.diag(counts).astype(float), counts.sum(axis=1).astype(float)
    union = truth + counts.sum(axis=0) - right
    iou = np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
    accuracy = np.divide(right, truth, out=np.full(len(right), np.nan), where=truth > 0)
    total = truth.sum()
    seen = truth > 0
    return {
        "mIoU": _mean(iou),
        "pixel_accuracy": _part(right.sum(), total),
        "mean_accuracy": _mean(accuracy),
        "fwIoU": _part((truth[seen] * iou[seen]).sum(), total),
        "iou": iou,
        "accuracy": accuracy,
    }


def boundary_f1(truth: np.ndarray, found: np.ndarray, reach: float = REACH) -> dict[int, float]:
    """class -> F1 of its border pixels; of classes that have any, in the truth or the answer.

    A pixel lies on the border of its class where one of its four neighbours has another class.
    `reach`: how far borders may lie apart, in parts of the picture's diagonal.
    """
    found = np.where(truth == IGNORE, np.uint8(IGNORE), found)
    borders = [_border(truth), _border(found)]
    limit = reach * np.hypot(*truth.shape)
    scores = {}
    for label in np.union1d(truth[borders[0]], found[borders[1]]):
        own = [(values == label) & on for values, on in zip((truth, found), borders, strict=True)]
        recall, precision = (
            _near(one, other, limit) for one, other in ((own[0], own[1]), (own[1], own[0]))
        )
        both = precision + recall
        scores[int(label)] = 2 * precision * recall / both if both else 0.0
    return scores


def _border(values: np.ndarray) -> np.ndarray:
    """[H, W] bool: another class above, below, left or right; IGNORE has and is no neighbour."""
    on = np.zeros(values.shape, bool)
    for one, other in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        apart = (values[one] != values[other]) & (values[one] != IGNORE)
        apart &= values[other] != IGNORE
        on[one] |= apart
        on[other] |= apart
    return on


def _near(pixels: np.ndarray, others: np.ndarray, limit: float) -> float:
    """The part of `pixels` with one of `others` within `limit` pixels; 0 where either is empty."""
    if not pixels.any() or not others.any():
        return 0.0
    distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.mean(distance[pixels] <= limit))


def _size(values: np.ndarray) -> str:
    return "x".join(map(str, values.shape[::-1]))


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _part(value: float, count: float) -> float | None:
    return float(value / count) if count else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
