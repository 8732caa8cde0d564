"""Hugging Face's ImageFolder with metadata.jsonl: one JSON per line, with the picture's file_name.

objects: {"bbox": [[x, y, width, height], ...], "categories": [...]} are objects, as COCO has them,
in continuous pixels; label (or labels, a list) are classes of the picture; text or caption its
captions. Classes that are numbers are named by their digits. File names are relative to the
metadata's folder; a folder called train, test, ... is the split. metadata.csv is read as a table.

Format: https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import json
from typing import Any

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, annotated, layout
from convoy.data.sources.annotated import Page, Shape, read

__all__ = ["detect", "read", "scan"]

_NAMES = ("categories", "category", "labels", "label", "class", "classes", "category_id")
_CLASS = ("label", "labels", "class", "category")
_TEXTS = ("text", "caption", "captions")


def detect(tree: files.Tree) -> bool:
    """A metadata.jsonl whose first line names a picture and says something known of it."""
    for rows in annotated.beginning(tree, _names(tree)):
        try:
            row = json.loads(rows[0])
        except (ValueError, RecursionError):
            continue
        if _file(row) and {*row} & {"objects", *_CLASS, *_TEXTS}:
            return True
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of every metadata.jsonl. Raises SourceError."""
    tree = files.tree(path)
    pages, rejected, unused = [], [], set()
    for name in _names(tree):
        try:
            rows = annotated.lines(tree, name)
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
            continue
        for number, line in enumerate(rows, start=1):
            if not line.strip():
                continue
            where = f"{name} line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                rejected.append((where, "corrupt_annotation", f"{where}: {error}"))
                continue
            if not _file(row):
                detail = f"{where}: expected an object with file_name"
                rejected.append((where, "corrupt_annotation", detail))
                continue
            unused |= {*row} - {"file_name", "image", "objects", "width", "height"}
            unused -= {*_CLASS, *_TEXTS}
            try:
                pages.append(_page(name, where, row))
            except ValueError as error:
                rejected.append((_file(row), "corrupt_annotation", f"{where}: {error}"))
    if not pages:
        raise SourceError(f"{tree.root}: expected metadata.jsonl with file_name, found none")
    notes = [f"keys that are not used: {', '.join(sorted(unused))[:200]}"] if unused else []
    return annotated.listing(tree, pages, options, rejected=rejected, notes=notes)


def _names(tree: files.Tree) -> list[str]:
    names = annotated.json_names(tree, ".jsonl")
    return [n for n in names if n.rpartition("/")[2].lower() == "metadata.jsonl"]


def _file(row: Any) -> str:
    name = row.get("file_name", row.get("image")) if isinstance(row, dict) else None
    return name.strip() if isinstance(name, str) else ""


def _page(name: str, where: str, row: dict) -> Page:
    """Raises ValueError."""
    shapes, faults = [], []
    for number, (box, label) in enumerate(_objects(row.get("objects"))):
        try:
            shapes.append(Shape(label, annotated.from_corner(annotated.numbers(box, 4))))
        except ValueError as error:
            faults.append(("bad_box", f"{where}: object {number}: {error}"))
    classes = [c for key in _CLASS for c in _list(row.get(key))]
    captions = [c for key in _TEXTS for c in _list(row.get(key))]
    return Page(
        _file(row),
        name,
        tuple(shapes),
        tuple(filter(None, map(annotated.text, classes))),
        tuple(filter(None, map(annotated.text, captions))),
        annotated.whole(row.get("height"), row.get("width")),
        layout.split_of(name),
        tuple(faults),
    )


def _objects(content: Any) -> list[tuple[Any, str]]:
    """(bbox, class) of a dictionary of lists, or of a list of dictionaries. Raises ValueError."""
    if content is None:
        return []
    if isinstance(content, list):
        rows = [row if isinstance(row, dict) else {} for row in content]
        return [(row.get("bbox"), _named(row)) for row in rows]
    boxes = content.get("bbox") if isinstance(content, dict) else None
    if not isinstance(boxes, list):
        raise ValueError("expected objects with a list bbox")
    key = next((key for key in _NAMES if isinstance(content.get(key), list)), None)
    names = content[key] if key else ["object"] * len(boxes)
    if len(names) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes and {len(names)} {key}")
    return list(zip(boxes, map(annotated.text, names), strict=True))


def _named(row: dict) -> str:
    return next((annotated.text(row[key]) for key in _NAMES if key in row), "object")


def _list(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]
