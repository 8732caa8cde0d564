"""Records back into the formats of other programs, one module per format.

A format is a module with one function:

write(records, folder, report) -> None
    Writes every split into an empty folder, picture by picture. Calls report(name, count) for what
    the format cannot hold.

Pictures get flat names out of their source_ids. What is in the folder already is all that is
remembered of earlier names, so that memory does not grow with the records.
"""

from __future__ import annotations

import dataclasses
import io
import pathlib
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image

from convoy.data import example, labels, tfrecord
from convoy.data.files import files
from convoy.data.sample import Sample

FORMATS = {
    "coco": "convoy.data.exports.coco",
    "voc": "convoy.data.exports.voc",
    "yolo": "convoy.data.exports.yolo",
    "folder": "convoy.data.exports.folder",
}
Report = Callable[[str, int], None]

_NAME_BYTES = 180  # of a picture's file, before its ending; file systems allow 255
_UNSAFE = re.compile(r"[\s/\\:*?\"<>|\x00-\x1f\x7f\ud800-\udfff]")


class ExportError(ValueError):
    """Records cannot be converted as a whole; the message says what was looked for, and where."""


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder of records as ingest leaves it."""

    splits: dict[str, tuple[pathlib.Path, ...]]  # split -> its shards
    labels: tuple[str, ...]
    segmentation_labels: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    def scores(self, sample: Sample) -> list[float]:
        """Of each object, where they were found by a model; what people said has none."""
        return []

    def samples(self, split: str) -> Iterator[Sample]:
        """One after the other. Raises ExportError, CorruptRecord, SchemaError."""
        for path in self.splits[split]:
            for record in tfrecord.read(path):
                sample = example.decode(record)
                if not sample.image:
                    raise ExportError(
                        f"{path}: {sample.source_id}: expected a picture, got a text or a signal; "
                        f"{', '.join(FORMATS)} hold pictures alone"
                    )
                yield sample


def records_of(folder: pathlib.Path, manifest: dict[str, Any]) -> Records:
    """The records that a manifest.json lists. Raises ExportError, SchemaError."""
    example.check_version([manifest.get("schema_version", 0)])
    looks = manifest.get("channels", {})
    if looks and (looks["count"] not in (1, 3) or looks["bits"] != 8):
        raise ExportError(
            f"{folder}: pictures of {looks['count']} channels of {looks['bits']} bits, which "
            f"{', '.join(FORMATS)} do not hold; `convoy.records` gives them as arrays"
        )
    splits = {
        split: tuple(folder / name for name in entry["shards"])
        for split, entry in manifest["splits"].items()
    }
    missing = [path for paths in splits.values() for path in paths if not path.is_file()]
    if missing:
        raise ExportError(
            f"{missing[0]}: manifest.json names it, but there is no such file; "
            f"{len(missing)} of {sum(map(len, splits.values()))} are missing. Ingest again"
        )
    lists = ("segmentation_labels", "keypoints", "actions")
    names = {key: tuple(manifest.get(key, ())) for key in lists}
    return Records(splits, labels.read(folder / "labels.txt"), **names)


def stem(source_id: str) -> str:
    """A file name, without an ending, that says which picture it is; not unique by itself."""
    base, ending = posixpath.splitext(source_id)
    name = _UNSAFE.sub("_", base if files.is_picture(f"a{ending}") else source_id)
    name = name.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    return f"_{name}" if not name or name[0] in ".-_" else name


def free(name: str, taken: Callable[[str], bool]) -> str:
    """The name, or the first of name~2, name~3, ... that is not taken."""
    number, candidate = 1, name
    while taken(candidate):
        number += 1
        candidate = f"{name}~{number}"
    return candidate


def ending(sample: Sample) -> str:
    """Of the picture's file."""
    return ".png" if sample.image.startswith(b"\x89PNG") else ".jpg"


def raster(png: bytes) -> np.ndarray:
    """[H, W] values of a mask or segmentation of a sample."""
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


def areas_unlike_boxes(sample: Sample) -> int:
    """How many objects without a mask have an area other than their box's."""
    if sample.masks or not len(sample.areas):
        return 0
    of_boxes = np.prod(sample.boxes[:, 2:] - sample.boxes[:, :2], axis=1)
    return int(np.count_nonzero(np.abs(sample.areas - of_boxes) > 1e-3 * of_boxes))


def unsupported(sample: Sample, *kept: str) -> dict[str, int]:
    """name -> count of what a sample has, without what the format keeps."""
    counts = {
        "difficult": int(sample.difficult.sum()),
        "truncated": int(sample.truncated.sum()),
        "crowd": int(sample.crowd.sum()),
        "masks": len(sample.masks),
        "areas": areas_unlike_boxes(sample),
        "views": sum(map(bool, sample.views)),
        "segmentations": int(bool(sample.segmentation)),
        "keypoints": int(np.count_nonzero((sample.keypoints[..., 2] > 0).any(-1))),
        "actions": int(np.count_nonzero((sample.actions >= 0).any(-1))),
        "parts": len(sample.part_boxes),
        "captions": len(sample.captions),
        "picture_labels": len({*sample.labels.tolist()} - {*sample.classes.tolist()}),
        "frames": len(sample.frames),
        "targets": int(bool(sample.target)),
        "texts": int(bool(sample.text)),
    }
    return {name: count for name, count in counts.items() if name not in kept}


def report_unsupported(sample: Sample, report: Report, *kept: str) -> None:
    """Reports all that `unsupported` counts."""
    for name, count in unsupported(sample, *kept).items():
        report(name, count)
