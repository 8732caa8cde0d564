"""CreateML's JSON of boxes, as Roboflow and Apple's tools write it: _annotations.createml.json.

A list of {"image": file, "annotations": [{"label", "coordinates": {x, y, width, height}}]}; x and y
are the centre, all continuous pixels from the upper left. Older files say imagefilename and
annotation. One file per split, in its folder, or one for all. A picture without annotations has no
objects.

Format: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
"""

from __future__ import annotations

from typing import Any

from convoy.data.files import files
from convoy.data.sample import Listing
from convoy.data.sources import Options, SourceError, annotated, coco_json
from convoy.data.sources.annotated import Page, Shape, read

__all__ = ["detect", "read", "scan"]

_SIDES = ("x", "y", "width", "height")


def detect(tree: files.Tree) -> bool:
    """A JSON list whose rows have coordinates."""
    return annotated.any_json(tree, _is_ours)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of every file. Raises SourceError."""
    tree = files.tree(path)
    rejected: list[tuple[str, str, str]] = []
    pages = []
    for name, content in annotated.contents(tree, annotated.json_names(tree), _is_ours, rejected):
        for number, row in enumerate(content):
            file = _file(row)
            if file:
                pages.append(_page(name, file, _rows(row)))
            else:
                detail = f"{name}: row {number} names no image"
                rejected.append((f"{name}#[{number}]", "corrupt_annotation", detail))
    if not pages:
        raise SourceError(
            f"{tree.root}: expected CreateML's _annotations.createml.json, found none"
        )
    return annotated.listing(tree, pages, options, rejected=rejected)


def _is_ours(content: Any) -> bool:
    """Whether it is a list of rows that name an image, one of them with coordinates."""
    if not isinstance(content, list) or not any(map(_file, content)):
        return False
    objects = [item for row in content for item in _rows(row)]
    return any(isinstance(item, dict) and "coordinates" in item for item in objects)


def _file(row: Any) -> str:
    named = [row.get(key) for key in ("image", "imagefilename")] if isinstance(row, dict) else []
    return next((name.strip() for name in named if isinstance(name, str) and name.strip()), "")


def _rows(row: Any) -> list:
    found = [row.get(key) for key in ("annotations", "annotation")] if isinstance(row, dict) else []
    return next((rows for rows in found if isinstance(rows, list)), [])


def _page(name: str, file: str, rows: list) -> Page:
    shapes, faults = [], []
    for number, row in enumerate(rows):
        where = f"{name}: {file}: annotation {number}"
        label = annotated.text(row.get("label")) if isinstance(row, dict) else ""
        place = row.get("coordinates") if isinstance(row, dict) else None
        try:
            if not label or not isinstance(place, dict):
                raise ValueError(f"expected a label and coordinates, got {str(row)[:60]!r}")
            x, y, width, height = annotated.numbers([place.get(side) for side in _SIDES], 4)
        except ValueError as error:
            faults.append(("bad_box", f"{where}: {error}"))
            continue
        corner = (x - width / 2, y - height / 2, width, height)
        shapes.append(Shape(label, annotated.from_corner(corner)))
    return Page(file, name, tuple(shapes), split=coco_json.split_of(name), faults=tuple(faults))
