"""Supervisely: PROJECT/DATASET/img/NAME.jpg with DATASET/ann/NAME.jpg.json.

{"size": {"height", "width"}, "objects": [{"classTitle", "geometryType", "points": {"exterior":
[[x, y], ...], "interior": [...]}}]}. Rectangles and polygons, in continuous pixels from 0, are
objects (holes of polygons are filled, and told); other geometries are left out, and told. `tags`
are the classes of pictures where nothing has objects. Splits are named by data sets.
Format: https://docs.supervisely.com/data-organization/00_ann_format_navi
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from typing import Any

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed

_PROBE = 5

read = listed.read


def detect(tree: files.Tree) -> bool:
    """A JSON of Supervisely's objects in a folder ann."""
    for name in itertools.islice(_names(tree), _PROBE):
        try:
            if _is_annotation(listed.json_of(tree, name)):
                return bool(layout.pictures(tree))
        except BadSample:
            continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every JSON. Raises SourceError."""
    tree = files.tree(path)
    entries, rejected, left = [], [], collections.Counter()
    for name in _names(tree):
        folder, _, base = name.rpartition("/")
        top = folder.rpartition("/")[0]
        picture = f"{top}/img/{base[: -len('.json')]}".lstrip("/")
        try:
            content = listed.json_of(tree, name)
            if not _is_annotation(content):
                raise BadSample("corrupt_annotation", f"{name}: no size and objects in it")
            entries.append(_entry(name, picture, content, left))
        except BadSample as error:
            rejected.append((picture, error.reason, error.detail))
    if not entries and not rejected:
        raise SourceError(f"{tree.root}: expected ann/*.json beside img/; found none")
    kinds = [f"{count} {kind}" for kind, count in sorted(left.items())]
    notes = [f"geometries that are left out or filled: {', '.join(kinds)}"] if kinds else []
    labels = _titles(tree, {item.name for entry in entries for item in entry.objects})
    return listed.listing(tree, entries, options, rejected=rejected, labels=labels, notes=notes)


def _names(tree: files.Tree) -> Iterator[str]:
    for name in tree.names:
        folders = name.split("/")[:-1]
        if name.endswith(".json") and folders and folders[-1] == "ann":
            yield name


def _titles(tree: files.Tree, found: set[str]) -> tuple[str, ...]:
    """Classes in the order of the project's meta.json, if it has all that were found."""
    for name in tree.names:
        if name.rpartition("/")[2] == "meta.json":
            try:
                content = listed.json_of(tree, name)
                titles = tuple(str(row["title"]) for row in content["classes"])
            except (BadSample, KeyError, TypeError):
                continue
            if found <= set(titles):
                return titles if found else ()
    return ()


def _is_annotation(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("size"), dict)
        and isinstance(content.get("objects"), list)
    )


def _entry(where: str, picture: str, content: dict, left: collections.Counter) -> listed.Entry:
    """Raises BadSample."""
    try:
        sides = [content["size"][key] for key in ("height", "width")]
        height, width = listed.numbers(where, sides)
        classes = tuple(str(tag["name"]) for tag in content.get("tags") or ())
        objects = []
        for row in content["objects"]:
            kind, name = row.get("geometryType"), str(row["classTitle"])
            if kind not in ("rectangle", "polygon"):
                left[str(kind)] += 1
                continue
            exterior = [value for point in row["points"]["exterior"] for value in point]
            if kind == "polygon":
                left["holes of polygons"] += bool(row["points"].get("interior"))
                objects.append(listed.polygon(where, name, exterior))
                continue
            x0, y0, x1, y1 = listed.numbers(where, exterior)
            box = (min(y0, y1), min(x0, x1), max(y0, y1), max(x0, x1))
            objects.append(listed.Object(name, box))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSample("corrupt_annotation", f"{where}: not understood: {error!r:.80}") from None
    left += collections.Counter()  # none of 0
    split = layout.split_of(picture)
    return listed.Entry(picture, where, tuple(objects), classes, (height, width), split)
