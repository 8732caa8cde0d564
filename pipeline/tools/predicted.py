"""What `convoy predict` wrote, as samples to convert: labels for people to mend.

Boxes, masks, label maps, persons and classes become what a data set has; what scores less than is
asked is left out.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import PIL.Image

from convoy.data import labels as label_files
from convoy.data.exports import ExportError
from convoy.data.images.images import load
from convoy.data.sample import BadSample, Sample
from convoy.models.paste import paste

PREDICTIONS, LABELS = "predictions.json", "labels.txt"
SPLIT = "predicted"
KINDS = ("detections", "people", "label_maps", "class", "classes")  # keys of a row
_MASK = (28, 28)


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A folder of predictions in place of one of records: see data/exports/__init__.Records."""

    folder: pathlib.Path
    rows: tuple[dict, ...]
    names: tuple[str, ...]  # of classes; of keypoints, where persons were found
    score: float  # from which on an object or a person is taken
    failed: int  # pictures that were not answered
    videos: int  # that were answered: their frames are no files to copy

    @property
    def splits(self) -> dict[str, tuple]:
        return {SPLIT: ()}

    @property
    def labels(self) -> tuple[str, ...]:
        if self._of("label_maps"):
            return ()
        return ("person",) if self._of("people") else self.names

    @property
    def keypoints(self) -> tuple[str, ...]:
        return self.names if self._of("people") else ()

    @property
    def segmentation_labels(self) -> tuple[str, ...]:
        return self.names if self._of("label_maps") else ()

    @property
    def actions(self) -> tuple[str, ...]:
        return ()

    def _of(self, key: str) -> bool:
        return any(key in row for row in self.rows)

    def samples(self, split: str) -> Iterator[Sample]:
        """One per picture that was answered. Raises ExportError where one is not there any more."""
        for row in self.rows:
            try:
                picture = load(row["image"])
            except (BadSample, OSError) as error:
                raise ExportError(
                    f"{self.folder / PREDICTIONS}: its pictures are copied: {error}"
                ) from error
            yield self._sample(row, picture)

    def _sample(self, row: dict, picture) -> Sample:
        size = (picture.height, picture.width)
        sample = Sample(self._name(row), SPLIT, picture.image, *size)
        if "people" in row:
            return dataclasses.replace(sample, **_people(self._taken(row), self.names))
        if "detections" in row:
            return dataclasses.replace(sample, **_objects(self._taken(row), self.names, size))
        if "label_maps" in row:
            return dataclasses.replace(sample, segmentation=_label_map(row["label_maps"]))
        names = [row["class"]] if "class" in row else row["classes"]
        classes = np.array([self.names.index(name) for name in names], np.int64)
        if "box" in row:
            boxes = np.array([row["box"]], np.float32)
            return dataclasses.replace(sample, **_without_flags(boxes, classes))
        return dataclasses.replace(sample, labels=classes)

    def scores(self, sample: Sample) -> list[float]:
        """Of each object of a sample, in order; empty of what has no score."""
        return [each["score"] for each in self._taken(self._by_name[sample.source_id])]

    def _taken(self, row: dict) -> list[dict]:
        """The objects or persons of a row; a person without any keypoint is none."""
        found = row.get("people", row.get("detections", ()))
        return [each for each in found if each["score"] >= self.score and each.get("keypoints", 1)]

    @functools.cached_property
    def _by_name(self) -> dict[str, dict]:
        return {self._name(row): row for row in self.rows}

    def _name(self, row: dict) -> str:
        """The picture's path below the folder that holds all of them."""
        return pathlib.Path(os.path.relpath(row["image"], self._top)).as_posix()

    @functools.cached_property
    def _top(self) -> str:
        return os.path.commonpath([os.path.dirname(os.path.abspath(r["image"])) for r in self.rows])


def read(folder: pathlib.Path, score: float) -> Predicted:
    """A folder that `convoy predict` wrote. Raises ExportError."""
    path = folder / PREDICTIONS
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        names = label_files.read(folder / LABELS)
        videos = sum("video" in row for row in rows)
        answered = [row for row in rows if "error" not in row and "video" not in row]
        unlike = [row for row in answered if not _kind(row)]
    except (FileNotFoundError, json.JSONDecodeError, TypeError, ValueError) as error:
        raise ExportError(f"{path}: not written by `convoy predict`: {error}") from error
    if unlike or not answered:
        told = ", ".join(sorted(unlike[0])) if unlike else "nothing but errors or videos"
        raise ExportError(f"{path}: expected answers to pictures ({', '.join(KINDS)}), got {told}")
    return Predicted(
        folder, tuple(answered), names, score, len(rows) - len(answered) - videos, videos
    )


def _kind(row: dict) -> str:
    """What a picture was answered with; "" where it is nothing that a data set has."""
    return next((kind for kind in KINDS if kind in row and "image" in row), "")


def _without_flags(boxes: np.ndarray, classes: np.ndarray) -> dict:
    none = np.zeros(len(boxes), bool)
    flags = dict.fromkeys(("difficult", "truncated", "crowd"), none)
    return {"boxes": boxes.reshape(-1, 4), "classes": classes, **flags}


def _objects(found: list[dict], names: tuple[str, ...], size: tuple[int, int]) -> dict:
    boxes = np.array([each["box"] for each in found], np.float32).reshape(-1, 4)
    classes = np.array([names.index(each["class"]) for each in found], np.int64)
    limits = np.float32([size[0], size[1], size[0], size[1]])
    fields = _without_flags(np.clip(boxes, 0, limits), classes)
    if found and "mask_28x28" in found[0]:
        masks = [
            paste(_mask(each["mask_28x28"]), box, size)
            for each, box in zip(found, boxes, strict=True)
        ]
        fields["masks"] = tuple(_png(np.uint8(mask) * 255) for mask in masks)
        fields["areas"] = np.float32([mask.sum() for mask in masks])
    return fields


def _mask(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(_MASK) / np.float32(255)


def _people(found: list[dict], names: tuple[str, ...]) -> dict:
    """Persons, whose boxes are those of their keypoints."""
    points = np.zeros((len(found), len(names), 3), np.float32)
    for person, each in zip(points, found, strict=True):
        for name, (y, x, _) in each["keypoints"].items():
            person[names.index(name)] = y, x, 2
    seen = [person[person[:, 2] > 0, :2] for person in points]
    boxes = np.array([[*each.min(axis=0), *each.max(axis=0)] for each in seen], np.float32)
    fields = _without_flags(boxes, np.zeros(len(found), np.int64))
    return {**fields, "keypoints": points}


def _label_map(path: str) -> bytes:
    """Its values alone, without the palette."""
    try:
        values = np.asarray(PIL.Image.open(path))
    except OSError as error:
        raise ExportError(f"{path}: the label map that predictions.json names: {error}") from error
    return _png(values)


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
