"""The one in-memory record that every source yields, and the small types around it.

Conventions, everywhere in Convoy:
* boxes are float32 `[ymin, xmin, ymax, xmax]` in pixels, continuous: pixel i covers [i, i + 1];
* classes are 0-based, without a background class;
* an image is kept as the encoded bytes that were found.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


class BadSample(ValueError):
    """One sample cannot be used. Counted and listed in rejected.jsonl, never fatal by itself.

    `reason` is a short fixed word for the histogram (`corrupt_image`, `missing_image`, `bad_box`,
    `unknown_class`, ...); `detail` says what was expected, what came, and where.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where one sample lies; small and picklable, it is what travels between Beam steps."""

    source_id: str  # unique in the data set and stable between runs, e.g. "VOC2007/000005"
    split: str  # "train", "val", "test", "trainval", ...
    image: str  # path of the picture
    annotation: Any = None  # the reader's own: a path, a label, a row


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source found before reading any picture."""

    references: tuple[Reference, ...]  # sorted by (split, source_id)
    labels: tuple[str, ...]  # class names; the position is the class
    rejected: tuple[tuple[str, str, str], ...] = ()  # (source_id, reason, detail)


def _empty(*shape: int, dtype: type = np.float32):
    return dataclasses.field(default_factory=lambda: np.zeros(shape, dtype))


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """One picture with everything known about it. N objects, K keypoints an object."""

    source_id: str
    split: str
    image: bytes  # encoded, as found
    height: int  # pixels, after the EXIF orientation is applied
    width: int
    labels: np.ndarray = _empty(0, dtype=np.int64)  # [M] classes of the whole picture
    boxes: np.ndarray = _empty(0, 4)  # [N, 4] pixels
    classes: np.ndarray = _empty(0, dtype=np.int64)  # [N]
    difficult: np.ndarray = _empty(0, dtype=bool)  # [N] VOC: ignored by the evaluator
    truncated: np.ndarray = _empty(0, dtype=bool)  # [N]
    crowd: np.ndarray = _empty(0, dtype=bool)  # [N] COCO iscrowd
    masks: tuple[bytes, ...] = ()  # N PNGs of the picture's size, 0 or 255; or none at all
    segmentation: bytes = b""  # PNG of classes, 255 = ignore; empty = none
    keypoints: np.ndarray = _empty(0, 0, 3)  # [N, K, (y, x, visibility 0|1|2)]
    captions: tuple[str, ...] = ()
