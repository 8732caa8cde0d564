"""Datumaro: annotations/SUBSET.json beside images/SUBSET/.

{"categories": {"label": {"labels": [{"name"}]}}, "items": [{"id", "image": {"path", "size"},
"annotations": [{"type", "label_id", ...}]}]}. bbox [x, y, w, h] and polygon [x0, y0, ...] in
continuous pixels are objects, `label`s the classes of pictures where nothing has objects; other
types are left out, and told. The split is the file's name.
Format: https://open-edge-platform.github.io/datumaro/ (Datumaro format)
"""

from __future__ import annotations

import collections
import itertools
import posixpath
from collections.abc import Iterator
from typing import Any

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed
from convoy.data.sources.split import SPLITS

_PROBE = 3
_PROBE_BYTES = 1 << 26

read = listed.read


def detect(tree: files.Tree) -> bool:
    """A JSON of categories and items in a folder annotations."""
    small = (n for n in _names(tree) if files.size(tree.where(n)) < _PROBE_BYTES)
    for name in itertools.islice(small, _PROBE):
        try:
            if _is_datumaro(listed.json_of(tree, name)):
                return bool(layout.pictures(tree))
        except BadSample:
            continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every item. Raises SourceError."""
    tree = files.tree(path)
    entries, rejected, left = [], [], collections.Counter()
    labels: dict[str, None] = {}
    for name in _names(tree):
        try:
            content = listed.json_of(tree, name)
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
            continue
        if not _is_datumaro(content):
            tree.pass_over(name, "it is not Datumaro's JSON")
            continue
        names = _labels(content)
        labels.update(dict.fromkeys(names))
        subset = posixpath.splitext(posixpath.basename(name))[0].lower()
        split = SPLITS.get(subset, None if subset == "default" else subset)
        for number, item in enumerate(content["items"], start=1):
            where = f"{name} item {number}"
            try:
                entries.append(_entry(where, item, names, split, left))
            except BadSample as error:
                rejected.append((where, error.reason, error.detail))
    if not entries and not rejected:
        raise SourceError(f"{tree.root}: expected annotations/*.json of Datumaro; found none")
    kinds = [f"{count} of type {kind}" for kind, count in sorted(left.items())]
    notes = [f"annotations that are left out: {', '.join(kinds)}"] if kinds else []
    return listed.listing(
        tree, entries, options, rejected=rejected, labels=tuple(labels), notes=notes
    )


def _names(tree: files.Tree) -> Iterator[str]:
    return (
        name
        for name in tree.names
        if name.endswith(".json") and posixpath.basename(posixpath.dirname(name)) == "annotations"
    )


def _is_datumaro(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
    )


def _labels(content: dict) -> list[str]:
    group = content["categories"].get("label")
    rows = group.get("labels") if isinstance(group, dict) else None
    rows = rows if isinstance(rows, list) else []
    return [str(row.get("name")) if isinstance(row, dict) else str(row) for row in rows]


def _entry(where: str, item: Any, names: list[str], split, left) -> listed.Entry:
    """Raises BadSample."""
    try:
        image = item.get("image") or {}
        picture = image.get("path") or item["id"]
        size = image.get("size") or (None, None)
        height, width = size if None in size else listed.numbers(where, size)
        objects, classes = [], []
        for row in item.get("annotations") or ():
            kind = row["type"]
            if kind not in ("bbox", "polygon", "label"):
                left[str(kind)] += 1
                continue
            index = row["label_id"]
            if not isinstance(index, int) or not 0 <= index < len(names):
                detail = f"{where}: label_id {index!r}, expected 0 to {len(names) - 1}"
                raise BadSample("corrupt_annotation", detail)
            if kind == "label":
                classes.append(names[index])
            elif kind == "polygon":
                objects.append(listed.polygon(where, names[index], row["points"]))
            else:
                x, y, w, h = listed.numbers(where, row["bbox"])
                crowd = bool((row.get("attributes") or {}).get("is_crowd"))
                objects.append(listed.Object(names[index], (y, x, y + h, x + w), crowd=crowd))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSample("corrupt_annotation", f"{where}: not understood: {error!r:.80}") from None
    return listed.Entry(str(picture), where, tuple(objects), tuple(classes), (height, width), split)
