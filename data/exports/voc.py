"""A year of a PASCAL VOC devkit, with class_names.txt.

Corners are 1-based and inclusive: xmin + 1 and xmax of the continuous box; fractions are written in
full. A box of one pixel or less on a side has no such corners and is left out. SegmentationClass
holds class + 1 in the order of class_names.txt, which labelme's data sets have; SegmentationObject
the number of the <object>. Where masks overlap, the smaller object is in front.
Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import IO

import numpy as np
import PIL.Image

from convoy.data.exports import Records, Report, ending, free, raster, report_unsupported, stem
from convoy.data.images import palette
from convoy.data.sample import Sample, keep_objects
from convoy.data.sources.voc import IGNORE
from convoy.data.sources.voc_names import NAMES, NO_CLASSES
from convoy.data.sources.voc_xml import OURS

KEPT = ("difficult", "truncated", "masks", "views", "segmentations", "actions", "parts")
_TAG = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)  # a name that XML allows
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not allowed
_BACKGROUND = ("background", "_background_", "__background__")


def write(records: Records, folder: pathlib.Path, report: Report) -> None:
    """See data/exports/__init__.py. A sample of several splits is written once, listed in each."""
    for name in ("Annotations", "JPEGImages", "ImageSets"):
        (folder / name).mkdir()
    numbered, shift = _numbered(records)
    lines = [*NO_CLASSES, *numbered]
    (folder / NAMES).write_text("".join(f"{name}\n" for name in lines), encoding="utf-8")
    actions = [name if _TAG.fullmatch(name) else "" for name in records.actions]
    for split in records.splits:
        with contextlib.ExitStack() as stack:
            lists = _Lists(folder / "ImageSets", split, actions, stack)
            for sample in records.samples(split):
                stored = _storable(sample)
                key, new = _place(stored, records.labels, actions, folder)
                if new:
                    _report_unsupported(sample, stored, actions, report)
                    _rasters(stored, key, folder, shift, report)
                lists.add(key, stored)


class _Lists:
    """The lists of one split, which grow picture by picture."""

    def __init__(
        self, sets: pathlib.Path, split: str, actions: Sequence[str], stack: contextlib.ExitStack
    ):
        self._sets, self._split, self._actions, self._stack = sets, split, actions, stack
        self._files: dict[tuple[str, str], IO[str]] = {}
        self._line("Main", split, "")
        for name in filter(None, actions):
            self._line("Action", f"{name}_{split}", "")

    def add(self, key: str, sample: Sample) -> None:
        self._line("Main", self._split, f"{key}\n")
        if sample.segmentation or sample.masks:
            self._line("Segmentation", self._split, f"{key}\n")
        for number, values in enumerate(sample.actions.tolist(), start=1):
            answers = _answers(values, self._actions)
            for name, value in answers:
                flag = 1 if value else -1
                self._line("Action", f"{name}_{self._split}", f"{key} {number} {flag}\n")
            if answers:
                self._line("Action", self._split, f"{key} {number}\n")
        for owner in sorted({*sample.part_owners.tolist()}):
            self._line("Layout", self._split, f"{key} {owner + 1}\n")

    def _line(self, folder: str, name: str, line: str) -> None:
        if (folder, name) not in self._files:
            (self._sets / folder).mkdir(exist_ok=True)
            path = self._sets / folder / f"{name}.txt"
            self._files[folder, name] = self._stack.enter_context(path.open("w", encoding="utf-8"))
        self._files[folder, name].write(line)


def _numbered(records: Records) -> tuple[list[str], int]:
    """Names of classes whose number is their place + 1, and what to add to values for that."""
    values = list(records.segmentation_labels)
    shift = 0 if not values or values[0].lower() in _BACKGROUND else 1
    names = values if shift else values[1:]
    return [*names, *(name for name in records.labels if name not in names)], shift


def _storable(sample: Sample) -> Sample:
    """Without boxes and parts that have no corners."""
    sample = keep_objects(sample, _has_corners(sample.boxes))
    keep = np.flatnonzero(_has_corners(sample.part_boxes))
    return dataclasses.replace(
        sample,
        part_boxes=sample.part_boxes[keep],
        part_names=tuple(sample.part_names[i] for i in keep),
        part_owners=sample.part_owners[keep],
    )


def _has_corners(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2] > 1).all(axis=1)


def _report_unsupported(
    sample: Sample, stored: Sample, actions: Sequence[str], report: Report
) -> None:
    report_unsupported(stored, report, *KEPT)
    report("boxes", len(sample.boxes) - len(stored.boxes))
    report("parts", len(sample.part_boxes) - len(stored.part_boxes))
    written = sum(len(_answers(values, actions)) for values in stored.actions.tolist())
    report("actions", int(np.count_nonzero(stored.actions >= 0)) - written)


def _answers(values: Sequence[int], actions: Sequence[str]) -> list[tuple[str, int]]:
    """(name, 0 or 1) of the actions that have a name and are said of an object."""
    return [(name, v) for name, v in zip(actions, values, strict=False) if name and v >= 0]


def _place(sample: Sample, labels, actions, folder: pathlib.Path) -> tuple[str, bool]:
    """Writes picture and XML; their name, and False where another split had written them."""
    repeated = False

    def taken(key: str) -> bool:
        nonlocal repeated
        text, path = _xml(sample, key, labels, actions), folder / "Annotations" / f"{key}.xml"
        if not path.exists():
            path.write_bytes(text)
            return False
        picture = folder / "JPEGImages" / f"{key}{ending(sample)}"
        repeated = path.read_bytes() == text and picture.read_bytes() == sample.image
        return not repeated

    key = free(stem(sample.source_id), taken)
    if not repeated:
        (folder / "JPEGImages" / f"{key}{ending(sample)}").write_bytes(sample.image)
    return key, not repeated


def _xml(sample: Sample, key: str, labels: Sequence[str], actions: Sequence[str]) -> bytes:
    root = ElementTree.Element("annotation")
    _add(root, "filename", f"{key}{ending(sample)}")
    source = _add(root, "source")
    _add(source, "database", OURS)
    _add(source, "image", sample.source_id)
    size = _add(root, "size")
    depth = 1 if PIL.Image.open(io.BytesIO(sample.image)).mode == "L" else 3
    for tag, value in (("width", sample.width), ("height", sample.height), ("depth", depth)):
        _add(size, tag, str(value))
    _add(root, "segmented", str(int(bool(sample.segmentation or sample.masks))))
    for index, (box, label) in enumerate(zip(sample.boxes, sample.classes, strict=True)):
        node = _add(root, "object")
        _add(node, "name", labels[label])
        _add(node, "pose", (sample.views[index] if sample.views else "") or "Unspecified")
        _add(node, "truncated", str(int(sample.truncated[index])))
        _add(node, "difficult", str(int(sample.difficult[index])))
        _corners(node, box)
        for part in np.flatnonzero(sample.part_owners == index):
            inner = _add(node, "part")
            _add(inner, "name", sample.part_names[part])
            _corners(inner, sample.part_boxes[part])
        answers = _answers(sample.actions[index].tolist() if len(sample.actions) else (), actions)
        acts = _add(node, "actions") if answers else None
        for name, value in answers:
            _add(acts, name, str(value))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "utf-8")


def _add(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    node = ElementTree.SubElement(parent, tag)
    node.text = text and _CONTROL.sub("_", text)
    return node


def _corners(node: ElementTree.Element, box: np.ndarray) -> None:
    ymin, xmin, ymax, xmax = box.tolist()
    inner = _add(node, "bndbox")
    for tag, value in zip(
        ("xmin", "ymin", "xmax", "ymax"), (xmin + 1, ymin + 1, xmax, ymax), strict=True
    ):
        _add(inner, tag, str(int(value)) if value.is_integer() else repr(value))


def _rasters(sample: Sample, key: str, folder: pathlib.Path, shift: int, report: Report) -> None:
    if sample.segmentation:
        values = raster(sample.segmentation)
        shifted = np.where(values == IGNORE, IGNORE, values + np.uint8(shift))
        palette.save(folder / "SegmentationClass" / f"{key}.png", shifted)
    if not sample.masks:
        return
    inside = [raster(mask) != 0 for mask in sample.masks]
    areas = [int(mask.sum()) for mask in inside]
    numbers = np.zeros((sample.height, sample.width), np.uint8)
    for index in sorted(range(len(inside)), key=lambda index: -areas[index]):
        if index + 1 < IGNORE:
            numbers[inside[index]] = index + 1
    left = np.bincount(numbers.ravel(), minlength=IGNORE)[1:IGNORE].tolist()
    report("masks", sum(map(bool, areas[len(left) :])))
    hidden = sum(kept < area for kept, area in zip(left, areas, strict=False))
    report("masks_partly_hidden", hidden)
    palette.save(folder / "SegmentationObject" / f"{key}.png", numbers)
