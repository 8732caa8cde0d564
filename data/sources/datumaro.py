"""Datumaro's JSON, one file per subset: annotations/train.json with images/train.

bbox is x, y, width, height, points of polygons x, y, ..., all continuous pixels; masks are COCO's
runs. Labels are classes of pictures, used where no picture has an object. Polylines, points and
cuboids are left out with a warning. Classes are those of categories, in order. The file's name is
the split where it is one (default is not).

Format: https://openvinotoolkit.github.io/datumaro/latest/docs/data-formats/datumaro_format.html
"""

from __future__ import annotations

import posixpath
from typing import Any

from convoy.data.files import files
from convoy.data.sample import Listing
from convoy.data.sources import Options, SourceError, annotated, coco_json
from convoy.data.sources.annotated import Page, Shape, read

__all__ = ["detect", "read", "scan"]


def detect(tree: files.Tree) -> bool:
    """A JSON file with items and categories."""
    return annotated.any_json(tree, _is_ours)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the items of every file. Raises SourceError."""
    tree = files.tree(path)
    rejected: list[tuple[str, str, str]] = []
    pages, labels = [], []
    stems = annotated.Stems(tree)
    for name, content in annotated.contents(tree, annotated.json_names(tree), _is_ours, rejected):
        names = _labels(content)
        labels += names
        for number, item in enumerate(content["items"]):
            if not isinstance(item, dict) or not annotated.text(item.get("id")):
                detail = f"{name}: item {number} has no id"
                rejected.append((f"{name}#items[{number}]", "corrupt_annotation", detail))
            else:
                page, unclear = _page(name, item, names, stems)
                pages += [page] if not unclear else []
                rejected += unclear
    if not pages:
        raise SourceError(
            f"{tree.root}: expected Datumaro's annotations/SUBSET.json with items, found none"
        )
    return annotated.listing(
        tree, pages, options, names=tuple(dict.fromkeys(labels)), rejected=rejected
    )


def _is_ours(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
    )


def _labels(content: dict) -> list[str]:
    block = content["categories"].get("label")
    rows = block.get("labels") if isinstance(block, dict) else None
    rows = rows if isinstance(rows, list) else []
    return [
        (annotated.text(row.get("name")) if isinstance(row, dict) else "") or f"label {i}"
        for i, row in enumerate(rows)
    ]


def _page(name: str, item: dict, names: list[str], stems: annotated.Stems):
    """(the Page, rows of pictures that it may all be of)."""
    media = item.get("image") if isinstance(item.get("image"), dict) else item.get("media")
    media = media if isinstance(media, dict) else {}
    file = media.get("path") if isinstance(media.get("path"), str) else ""
    key = annotated.text(item.get("id"))
    base, subset = posixpath.dirname(name), posixpath.splitext(posixpath.basename(name))[0]
    top = posixpath.dirname(base)
    places = [[posixpath.normpath(posixpath.join(top, "images", *more, key))]
              for more in ((subset,), ())]  # fmt: skip
    found, unclear = annotated.one_of(stems, places, f"{name}: item {key!r}")
    stated = [row[0] for row in unclear if file and row[0].endswith(f"/{posixpath.basename(file)}")]
    if len(stated) == 1:  # its path has the ending
        found, unclear = stated[0], []
    size = media.get("size")
    size = annotated.whole(*size) if isinstance(size, list) and len(size) == 2 else None
    shapes, faults, classes, captions = _content(name, key, item, names)
    page = Page(found or file or f"{key}.jpg", name, tuple(shapes), tuple(classes),
                tuple(captions), size, coco_json.split_of(name), tuple(faults),
                found is not None)  # fmt: skip
    return page, unclear


def _content(name: str, key: str, item: dict, names: list[str]):
    """(shapes, faults, classes, captions)."""
    shapes, faults, classes, captions = [], [], [], []
    rows = item.get("annotations")
    for number, row in enumerate(rows if isinstance(rows, list) else []):
        where = f"{name}: item {key!r}: annotation {number}"
        row = row if isinstance(row, dict) else {}
        index, kind = row.get("label_id"), row.get("type")
        known = isinstance(index, int) and 0 <= index < len(names)
        label = names[index] if known else f"label {str(index)[:20]}"
        if kind == "label":
            classes.append(label)
        elif kind == "caption":
            captions += filter(None, [annotated.text(row.get("caption"))])
        else:
            try:
                shape = _shape(row, label)
            except ValueError as error:
                faults.append(("bad_segmentation", f"{where}: {error}"))
                continue
            if shape is None:
                faults.append(("unsupported_shape", f"{where}: {str(kind)[:40]!r} has no area"))
            else:
                shapes.append(shape)
    return shapes, faults, classes, captions


def _shape(row: dict, label: str) -> Shape | None:
    """None for what has no area. Raises ValueError."""
    attributes = row.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    flags = {
        "crowd": attributes.get("is_crowd") is True,
        "difficult": attributes.get("difficult") is True,
        "truncated": attributes.get("truncated") is True,
    }
    if row.get("type") == "bbox":
        box = annotated.from_corner(annotated.numbers(row.get("bbox"), 4))
        return Shape(label, box, **flags)
    if row.get("type") == "polygon":
        ring = annotated.numbers(row.get("points"))
        if len(ring) < 6 or len(ring) % 2:
            raise ValueError(f"a polygon of {len(ring)} numbers")
        return Shape(label, outlines=(ring,), **flags)
    if row.get("type") == "mask":
        runs = row.get("rle") if isinstance(row.get("rle"), dict) else {}
        size, counts = runs.get("size"), runs.get("counts")
        sides = annotated.whole(*size) if isinstance(size, list) and len(size) == 2 else None
        if sides is None or not isinstance(counts, (str, list)):
            raise ValueError("a mask without size and counts")
        box = annotated.mask_box(sides, counts)
        counts = counts if isinstance(counts, str) else tuple(counts)
        return Shape(label, box, runs=(0, 0, *sides, counts), **flags)
    return None
