"""VIA 3, projects of the VGG image annotator: files, metadata with a shape each, attributes.

Shapes are lists of a kind and continuous pixels: rectangle x, y, width, height; circle cx, cy, r;
ellipse cx, cy, rx, ry; polygon x, y, ...; extreme rectangles and circles are left out, as points
and lines are, with a warning. The class is the value of an attribute, chosen as data/sources/via.py
does; options are named by their text. Metadata without a shape are classes of the picture, used
where there is no shape at all. Video and audio files are left out and counted.

Format: https://gitlab.com/vgg/via/-/blob/master/via-3.x.y/CodeDoc.md
"""

from __future__ import annotations

import collections
from typing import Any

from convoy.data import masks
from convoy.data.files import files
from convoy.data.sample import Listing
from convoy.data.sources import Options, SourceError, annotated, coco_json
from convoy.data.sources.annotated import Page, Shape, read
from convoy.data.sources.via import CLASS_NAMES, OBJECT

__all__ = ["detect", "read", "scan"]

_IMAGE = 2  # of the types of files
_RECTANGLE, _CIRCLE, _ELLIPSE, _POLYGON = 2, 3, 4, 7


def detect(tree: files.Tree) -> bool:
    """A JSON file with the parts of a project."""
    return annotated.any_json(tree, _is_ours)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of every project. Raises SourceError."""
    tree = files.tree(path)
    rejected: list[tuple[str, str, str]] = []
    pages, notes = [], []
    for name, content in annotated.contents(tree, annotated.json_names(tree), _is_ours, rejected):
        pages += _pages(name, content, notes, rejected)
    if not pages:
        raise SourceError(f"{tree.root}: expected a project of VIA 3 with pictures, found none")
    return annotated.listing(tree, pages, options, rejected=rejected, notes=notes)


def _is_ours(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(key), dict) for key in ("project", "attribute", "file", "metadata")
    )


def _pages(name: str, content: dict, notes: list[str], rejected: list) -> list[Page]:
    files_of = {key: row for key, row in content["file"].items() if isinstance(row, dict)}
    others = sum(row.get("type", _IMAGE) != _IMAGE for row in files_of.values())
    if others:
        notes.append(f"{name}: {others} files are no pictures, and are not used")
    views = content.get("view") if isinstance(content.get("view"), dict) else {}
    shown = {key: row["fid_list"] for key, row in views.items()
             if isinstance(row, dict) and isinstance(row.get("fid_list"), list)}  # fmt: skip
    rows: dict[str, list[dict]] = collections.defaultdict(list)
    for key, row in content["metadata"].items():
        view = str(row.get("vid")) if isinstance(row, dict) else ""
        seen = shown.get(view, [view] if not shown else [])
        if len(seen) == 1 and str(seen[0]) in files_of and isinstance(row.get("xy"), list):
            rows[str(seen[0])].append(row)
        else:
            detail = f"{name}: metadata {key!r} is of no single picture"
            rejected.append((f"{name}#{key}", "corrupt_annotation", detail))
    drawn = any(row["xy"] for of_file in rows.values() for row in of_file)
    attribute = _choose(name, content, rows, drawn, notes)
    pages = []
    for key, row in files_of.items():
        file = row.get("fname")
        if row.get("type", _IMAGE) != _IMAGE:
            continue
        if not isinstance(file, str) or not file.strip():
            rejected.append(
                (f"{name}#file={key}", "missing_image", f"{name}: file {key!r}: no fname")
            )
            continue
        pages.append(_page(name, file.strip(), rows[key], attribute, content["attribute"]))
    return pages


def _page(name: str, file: str, rows: list[dict], attribute: str | None, attributes: dict) -> Page:
    shapes, faults, classes = [], [], []
    for row in rows:
        label = _value(row, attribute, attributes) if attribute else OBJECT
        if not row["xy"]:
            classes += [label] if label else []
            continue
        try:
            shape = _shape(row["xy"], label)
        except ValueError as error:
            faults.append(("bad_segmentation", f"{name}: {file}: {error}"))
            continue
        if shape is None:
            detail = f"{name}: {file}: shape {str(row['xy'][0])[:20]} has no area that is known"
            faults.append(("unsupported_shape", detail))
        else:
            shapes.append(shape)
    return Page(file, name, tuple(shapes), tuple(classes), split=coco_json.split_of(name),
                faults=tuple(faults))  # fmt: skip


def _shape(xy: list, label: str) -> Shape | None:
    """None for what has no area. Raises ValueError."""
    kind, *values = xy
    if kind == _RECTANGLE:
        return Shape(label, annotated.from_corner(annotated.numbers(values, 4)))
    if kind == _CIRCLE:
        x, y, radius = annotated.numbers(values, 3)
        return Shape(label, outlines=(tuple(masks.ellipse(y, x, radius, radius)),))
    if kind == _ELLIPSE:
        x, y, rx, ry = annotated.numbers(values, 4)
        return Shape(label, outlines=(tuple(masks.ellipse(y, x, ry, rx)),))
    if kind == _POLYGON:
        ring = annotated.numbers(values)
        if len(ring) < 6 or len(ring) % 2:
            raise ValueError(f"a polygon of {len(ring)} numbers")
        return Shape(label, outlines=(ring,))
    return None


def _choose(name: str, content: dict, rows, drawn: bool, notes: list[str]) -> str | None:
    """The attribute that gives the class; None where shapes have none."""
    counts: collections.Counter[str] = collections.Counter()
    for row in (row for of_file in rows.values() for row in of_file):
        if bool(row["xy"]) == drawn:
            given = row.get("av") if isinstance(row.get("av"), dict) else {}
            counts.update(key for key in given if _value(row, key, content["attribute"]))
    if not counts:
        return None
    called = {key: _called(content["attribute"].get(key), key) for key in counts}
    usual = [key for word in CLASS_NAMES for key in sorted(counts) if called[key].lower() == word]
    chosen = usual[0] if usual else min(counts, key=lambda key: (-counts[key], key))
    if len(counts) > 1:
        listed = sorted(called.values())
        notes.append(f"{name}: of the attributes {listed}, {called[chosen]!r} gives the class")
    return chosen


def _called(attribute: Any, key: str) -> str:
    return annotated.text(attribute.get("aname")) if isinstance(attribute, dict) else key


def _value(row: dict, key: str, attributes: dict) -> str:
    given = row.get("av") if isinstance(row.get("av"), dict) else {}
    value = annotated.text(given.get(key))
    options = attributes.get(key)
    options = options.get("options") if isinstance(options, dict) else None
    if isinstance(options, dict) and value in options:
        return annotated.text(options[value]) or value
    return value
