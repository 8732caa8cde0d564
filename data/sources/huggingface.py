"""Hugging Face's ImageFolder: metadata.jsonl or metadata.csv beside the pictures that it names.

A line is {"file_name", ...}. "objects": {"bbox": [[x, y, w, h], ...], "categories" or "category":
[...]} are objects as COCO has them, continuous pixels from 0; categories are names, or numbers,
which are then the names. Without objects a column label, class or category is the class of the
picture. metadata.csv is read by `csv`.
Format: https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import json
import posixpath
from typing import Any

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed

NAME = "metadata.jsonl"
_CLASSES = ("label", "labels", "class", "category", "categories")

read = listed.read


def detect(tree: files.Tree) -> bool:
    """A metadata.jsonl with a class or objects."""
    for name in _names(tree):
        try:
            rows = listed.text_of(tree, name).split("\n")[:5]
        except BadSample:
            continue
        for row in filter(str.strip, rows):
            try:
                entry = _entry(name, row, "")
            except BadSample:
                continue
            if entry.objects or entry.classes or '"objects"' in row:
                return bool(layout.pictures(tree))
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every line. Raises SourceError."""
    tree = files.tree(path)
    entries, rejected, keys = [], [], set()
    for name in _names(tree):
        folder = posixpath.dirname(name)
        try:
            lines = listed.text_of(tree, name).split("\n")
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{name} line {number}"
            try:
                entries.append(_entry(where, line, folder))
                keys |= json.loads(line).keys()
            except BadSample as error:
                rejected.append((where, error.reason, error.detail))
    if not entries and not rejected:
        raise SourceError(f"{tree.root}: expected {NAME} with a picture per line; found none")
    spare = sorted(keys - {"file_name", "objects", *_CLASSES})
    notes = [f"{NAME}: keys that are not used: {', '.join(spare)}"] if spare else []
    return listed.listing(tree, entries, options, rejected=rejected, notes=notes)


def _names(tree: files.Tree) -> list[str]:
    return [name for name in tree.names if posixpath.basename(name) == NAME]


def _entry(where: str, line: str, folder: str) -> listed.Entry:
    """Raises BadSample."""
    try:
        row = json.loads(line)
        picture = posixpath.normpath(posixpath.join(folder, row["file_name"]))
        objects = _objects(where, row["objects"]) if row.get("objects") else ()
        said = next((row[key] for key in _CLASSES if row.get(key) is not None), ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadSample("corrupt_annotation", f"{where}: not understood: {error!r:.80}") from None
    classes = said if isinstance(said, list) else [said] if said != () else []
    return listed.Entry(picture, where, objects, tuple(map(str, classes)))


def _objects(where: str, objects: Any) -> tuple[listed.Object, ...]:
    boxes = objects["bbox"]
    names = next((objects[k] for k in ("categories", "category", "label") if k in objects), None)
    names = ["object"] * len(boxes) if names is None else names
    if len(names) != len(boxes):
        detail = f"{where}: {len(boxes)} boxes and {len(names)} categories"
        raise BadSample("corrupt_annotation", detail)
    found = []
    for name, box in zip(names, boxes, strict=True):
        x, y, w, h = listed.numbers(where, box)
        found.append(listed.Object(str(name), (y, x, y + h, x + w)))
    return tuple(found)
