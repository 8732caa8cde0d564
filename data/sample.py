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

from convoy.data.files.files import Where


class BadSample(ValueError):
    """One sample cannot be used. Counted and listed in rejected.jsonl, never fatal by itself.

    `reason` is a short fixed word for the histogram (`corrupt_image`, `missing_image`, `bad_box`,
    `unknown_class`, ...); `detail` says what was expected, what came, and where.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """Where one sample lies; small and picklable, it is what travels between Beam steps.

    Slots: the process that starts an ingest holds one for each of some million pictures.
    """

    source_id: str  # unique in the data set and stable between runs, e.g. "VOC2007/000005"
    split: str  # "train", "val", "test", "trainval", ...
    image: Where  # of the picture; "" where there is none
    annotation: Any = None  # the reader's own: a path, a label, bytes; with a stable repr
    frame: str = ""  # data.exif: "upright" or "stored"; empty = it does not say


@dataclasses.dataclass(frozen=True)
class Told:
    """Something of a data set that is not used, or that can be read in two ways: what, and why."""

    what: str  # "pictures", ".json files in folders called ann", "columns of boxes.csv", ...
    count: int
    why: str  # why it is not used; of two ways, which was taken and by what rule
    examples: tuple[str, ...] = ()  # a few names


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source found before reading any picture."""

    references: tuple[Reference, ...]  # sorted by (split, source_id)
    labels: tuple[str, ...]  # class names; the position is the class
    rejected: tuple[tuple[str, str, str], ...] = ()  # (source_id, reason, detail)
    segmentation_labels: tuple[str, ...] = ()  # names of the values of Sample.segmentation, from 0
    keypoints: tuple[str, ...] = ()  # names of the K keypoints
    keypoint_pairs: tuple[tuple[int, int], ...] = ()  # (left, right), swapped by a mirrored picture
    actions: tuple[str, ...] = ()  # names of the A actions
    notes: tuple[str, ...] = ()  # what a person should know of how the data set was understood
    unused: tuple[Told, ...] = ()  # columns, keys, lists, ...; files are told by data/ingest
    ambiguous: tuple[Told, ...] = ()  # what can be read in two ways, and how it was


def _empty(*shape: int, dtype: type = np.float32):
    return dataclasses.field(default_factory=lambda: np.zeros(shape, dtype))


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """One picture with everything known about it. N objects; K keypoints and A actions per object.

    A sentence (text classification) has `text`, a sound or series `signal`, and no image: b"", of
    0 x 0 pixels.
    """

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
    areas: np.ndarray = _empty(0)  # [N] pixels of the object; or none: the box's
    views: tuple[str, ...] = ()  # N poses such as "Left"; or none
    segmentation: bytes = b""  # PNG of Listing.segmentation_labels, 255 = ignore; empty = none
    keypoints: np.ndarray = _empty(0, 0, 3)  # [N, K, (y, x, visibility 0|1|2)]
    actions: np.ndarray = _empty(0, 0, dtype=np.int64)  # [N, A] 1 yes, 0 no, -1 not said
    part_boxes: np.ndarray = _empty(0, 4)  # [P, 4] pixels, of parts such as a head
    part_names: tuple[str, ...] = ()  # P
    part_owners: np.ndarray = _empty(0, dtype=np.int64)  # [P] the object that a part belongs to
    proposals: np.ndarray = _empty(0, 4)  # [R, 4] pixels, by rank: see data/proposals.py
    captions: tuple[str, ...] = ()
    frames: tuple[bytes, ...] = ()  # encoded, of a film: two before, two behind; b"" = the picture
    target: bytes = b""  # encoded second picture: the sharp one of a pair; empty = none
    text: str = ""
    signal: bytes = b""  # a WAV file, see data/signals/wav.py

    @property
    def content(self) -> bytes:
        """What the sample is of: its encoded picture, its sound, or its sentence in UTF-8."""
        return self.image or self.signal or self.text.encode("utf-8", "surrogateescape")


def keep_objects(sample: Sample, keep: np.ndarray) -> Sample:
    """The sample with the objects of `keep` ([N] bool) and their parts alone."""
    index = np.flatnonzero(keep)
    own = np.isin(sample.part_owners, index)
    return dataclasses.replace(
        sample,
        **{
            name: getattr(sample, name)[index]
            if len(getattr(sample, name))
            else getattr(sample, name)
            for name in PER_OBJECT
        },
        masks=tuple(sample.masks[i] for i in index) if sample.masks else (),
        views=tuple(sample.views[i] for i in index) if sample.views else (),
        part_boxes=sample.part_boxes[own],
        part_names=tuple(n for n, kept in zip(sample.part_names, own, strict=True) if kept),
        part_owners=np.searchsorted(index, sample.part_owners[own]),
    )


PER_OBJECT = (
    "boxes",
    "classes",
    "difficult",
    "truncated",
    "crowd",
    "areas",
    "keypoints",
    "actions",
)
