"""COCO: SPLIT/pictures, and annotations/instances_SPLIT.json with captions_SPLIT.json beside it.

Categories are the labels, numbered from 1. Boxes are [x, y, width, height] in continuous pixels;
masks are packed run-length encodings, [] where there is none. Keypoints are in the instances, as
[x, y, visibility] of each, zeros where not labelled; their names are in every category that has
some.
https://cocodataset.org/#format-data

Entries are written to files of their own as the records come, and joined at the end.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import IO, Any

from convoy.data import masks
from convoy.data.exports import Records, Report, ending, free, raster, report_unsupported, stem
from convoy.data.sample import Sample

KEPT = ("crowd", "masks", "areas", "keypoints", "captions")


def write(records: Records, folder: pathlib.Path, report: Report) -> None:
    """See data/exports/__init__.py."""
    (folder / "annotations").mkdir()
    for split in records.splits:
        (folder / split).mkdir()
        with contextlib.ExitStack() as stack:
            images, instances, captions = (stack.enter_context(_Entries(folder)) for _ in range(3))
            posed: set[int] = set()  # classes with keypoints
            for sample in records.samples(split):
                image_id = images.count + 1
                images.add(_image(sample, image_id, folder / split))
                for entry in _instances(sample, image_id, records.scores(sample)):
                    instances.add({"id": instances.count + 1, **entry})
                    posed |= {entry["category_id"]} if entry.get("num_keypoints") else set()
                for text in sample.captions:
                    caption = {"id": captions.count + 1, "image_id": image_id, "caption": text}
                    captions.add(caption)
                report_unsupported(sample, report, *KEPT)
            categories = _categories(records, posed)
            path = folder / "annotations" / f"instances_{split}.json"
            _join(path, {"images": images, "annotations": instances}, categories)
            if captions.count:
                path = folder / "annotations" / f"captions_{split}.json"
                _join(path, {"images": images, "annotations": captions})


class _Entries:
    """A list of JSON values in an unnamed file."""

    def __init__(self, folder: pathlib.Path):
        self._path, self.count = folder / f".{id(self):x}.part", 0

    def __enter__(self):
        self._file: IO[str] = open(self._path, "w+", encoding="ascii")
        self._path.unlink()
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def add(self, value: Any) -> None:
        self._file.write(f"{',' if self.count else ''}\n{json.dumps(value, allow_nan=False)}")
        self.count += 1

    def copy_to(self, file: IO[str]) -> None:
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)


def _join(path: pathlib.Path, lists: dict[str, _Entries], categories: list | None = None) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write('{"info": {"description": "written by Convoy"},\n"licenses": []')
        if categories is not None:
            file.write(f',\n"categories": {json.dumps(categories)}')
        for name, entries in lists.items():
            file.write(f',\n"{name}": [')
            entries.copy_to(file)
            file.write("]")
        file.write("}\n")


def _image(sample: Sample, image_id: int, folder: pathlib.Path) -> dict[str, Any]:
    """Writes the picture; its entry."""
    name = free(stem(sample.source_id), lambda n: _has(folder, n))
    name = f"{name}{ending(sample)}"
    (folder / name).write_bytes(sample.image)
    return {"id": image_id, "file_name": name, "height": sample.height, "width": sample.width}


def _has(folder: pathlib.Path, name: str) -> bool:
    return any((folder / f"{name}{end}").exists() for end in (".jpg", ".png"))


def _instances(sample: Sample, image_id: int, scores: list[float]) -> Iterator[dict[str, Any]]:
    for index, (box, label) in enumerate(zip(sample.boxes, sample.classes, strict=True)):
        ymin, xmin, ymax, xmax = box.tolist()
        height, width = ymax - ymin, xmax - xmin
        area = float(sample.areas[index]) if len(sample.areas) else height * width
        entry = {
            "image_id": image_id,
            "category_id": int(label) + 1,
            "bbox": [xmin, ymin, width, height],
            "area": area,
            "iscrowd": int(sample.crowd[index]),
            "segmentation": _segmentation(sample.masks[index]) if sample.masks else [],
        }
        if scores:
            entry["score"] = scores[index]
        if len(sample.keypoints):
            points = [
                (x, y, int(v)) if v else (0, 0, 0) for y, x, v in sample.keypoints[index].tolist()
            ]
            entry["keypoints"] = [value for point in points for value in point]
            entry["num_keypoints"] = sum(visibility > 0 for _, _, visibility in points)
        yield entry


def _segmentation(mask: bytes) -> dict[str, Any] | list:
    values = raster(mask)
    return masks.to_rle(values) if values.any() else []


def _categories(records: Records, posed: set[int]) -> list[dict[str, Any]]:
    rows = []
    for number, name in enumerate(records.labels, start=1):
        row = {"id": number, "name": name, "supercategory": ""}
        if number in posed and records.keypoints:
            row |= {"keypoints": list(records.keypoints), "skeleton": []}
        rows.append(row)
    return rows
