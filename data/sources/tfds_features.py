"""Which features of a TFDS data set become what of a Sample, by their kinds in features.json.

The picture is the feature "image", or the first Image that is no label picture; its class "label",
or the only ClassLabel or Sequence of ClassLabel; objects are the first Sequence (or single object)
that has a BBoxFeature, with its label, is_crowd, is_difficult, is_truncated and area; a label
picture is an Image named like one; captions are Text of that name; Text is the sentence where there
is no picture.

Keys of the Examples join names by "/" (core/example_serializer.py); what lies in Sequences inside
of Sequences is left out.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from convoy.data.files import files
from convoy.data.sources import SourceError

_SENTENCES = ("text", "sentence", "review")  # features that hold them, the first there is
_LABEL_PICTURE = re.compile(r"(?i).*(segmentation|semantic|mask|annotation|label|\bseg\b).*")
_CAPTION = re.compile(r"(?i)(.*/)?(captions?|text|description)(/text)?")
_COLUMNS = {
    "label": ("label", "labels", "category", "class"),
    "crowd": ("is_crowd",),
    "difficult": ("is_difficult", "difficult"),
    "truncated": ("is_truncated", "truncated"),
    "area": ("area",),
}


class Plan(NamedTuple):
    """Keys of the Examples; "" where there is no such thing."""

    image: str = ""
    labels: tuple[str, ...] = ()
    boxes: str = ""
    box_format: str = ""
    columns: tuple[tuple[str, str], ...] = ()  # (what of an object, key)
    segmentation: str = ""
    captions: str = ""
    text: str = ""
    codes: tuple[tuple[int, int], ...] = ()  # of label pictures
    names: tuple[str, ...] = ()  # the data set's classes, where others were asked for


class _Feature(NamedTuple):
    key: str
    kind: str  # Image, ClassLabel, BBoxFeature, Text, Tensor, ...
    depth: int  # Sequences around it
    content: dict


def plan(top: str, features: dict) -> tuple[Plan, tuple[str, ...], tuple[str, ...]]:
    """(plan, names of classes, notes) of the data set in this folder. Raises SourceError."""
    by_key = {feature.key: feature for feature in _flat(features, "", 0)}
    pictures = [f.key for f in by_key.values() if f.kind == "Image" and f.depth == 0]
    plain = [key for key in pictures if not _LABEL_PICTURE.fullmatch(key)]
    image = "image" if "image" in pictures else next(iter(plain), "")
    segmentation = next((k for k in pictures if k != image and _LABEL_PICTURE.fullmatch(k)), "")
    texts = [f.key for f in by_key.values() if f.kind == "Text" and f.depth < 2]
    text = captions = ""
    if image:
        captions = next((key for key in texts if _CAPTION.fullmatch(key)), "")
    else:
        flat = [key for key in texts if by_key[key].depth == 0]
        text = next((key for key in _SENTENCES if key in flat), next(iter(flat), ""))
    if not image and not text:
        raise SourceError(
            f"{top}: expected an Image or a Text among its features: {', '.join(by_key) or 'none'}"
        )
    boxes = next((f for f in by_key.values() if f.kind == "BBoxFeature" and f.depth < 2), None)
    columns = _columns(by_key, boxes) if boxes and image else ()
    labels = _labels(by_key, boxes)
    label_key = dict(columns).get("label") or next(iter(labels), "")
    used = {image, segmentation, captions, text, *labels, *(key for _, key in columns)}
    used.add(boxes.key if boxes else "")
    left = sorted(by_key.keys() - used)
    notes = (f"features left out: {', '.join(left)}",) if left else ()
    made = Plan(
        image,
        labels,
        boxes.key if boxes and image else "",
        boxes.content.get("bboxFormat", "REL_YXYX") if boxes else "",
        columns,
        segmentation,
        captions,
        text,
    )
    names = _names(top, by_key[label_key]) if label_key else ("object",) if boxes else ()
    return made, names, notes


def _flat(feature: dict, key: str, depth: int) -> list[_Feature]:
    if "featuresDict" in feature:
        inside = feature["featuresDict"].get("features", {})
        return [
            row
            for name, below in sorted(inside.items())
            for row in _flat(below, f"{key}/{name}" if key else name, depth)
        ]
    if "sequence" in feature:
        return _flat(feature["sequence"]["feature"], key, depth + 1)
    kind = feature.get("pythonClassName", "").rpartition(".")[2]
    content = next((value for value in feature.values() if isinstance(value, dict)), {})
    return [_Feature(key, kind, depth, content)]


def _labels(by_key: dict[str, _Feature], boxes: _Feature | None) -> tuple[str, ...]:
    """Keys of the classes of the whole picture or text."""
    around = boxes.key.rpartition("/")[0] if boxes and boxes.depth else None
    keys = [
        f.key
        for f in by_key.values()
        if f.kind == "ClassLabel" and f.depth < 2 and f.key.rpartition("/")[0] != around
    ]
    if "label" in keys:
        return ("label",)
    if boxes and boxes.depth:
        return ()
    usual = [key for key in keys if key in ("labels", "class", "category")]
    return tuple((usual or keys)[:1])


def _columns(by_key: dict[str, _Feature], boxes: _Feature) -> tuple[tuple[str, str], ...]:
    around = boxes.key.rpartition("/")[0]
    columns = []
    for column, names in _COLUMNS.items():
        keys = (f"{around}/{name}" if around else name for name in names)
        key = next((k for k in keys if k in by_key and by_key[k].depth == boxes.depth), "")
        if key and (column != "label" or by_key[key].kind == "ClassLabel"):
            columns.append((column, key))
    return tuple(columns)


def _names(top: str, feature: _Feature) -> tuple[str, ...]:
    """Class names, of the file beside features.json or else numbers."""
    count = int(feature.content.get("numClasses", 0))
    path = os.path.join(top, f"{feature.key.replace('/', '-')}.labels.txt")
    if files.size(path):
        text = files.read(path).decode("utf-8", "replace")
        return tuple(line.strip() for line in text.split("\n") if line.strip())
    return tuple(str(value) for value in range(count))
