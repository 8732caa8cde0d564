"""The keypoints of COCO's files: their names, and how the rows hold them."""

from __future__ import annotations

from convoy.data import keypoints
from convoy.data.files import json_stream
from convoy.data.sources import SourceError, coco_json
from convoy.data.sources.coco_json import CocoFile

_BODY = 17


def names(tree, used, notes: list[str]) -> tuple[tuple[str, ...], int, bool]:
    """(names, how many of them are in the rows' "keypoints", whether whole-body lists follow)."""
    layouts: dict[tuple[tuple[str, ...], int, bool], list[str]] = {}
    for file in used:
        if "keypoints" in file.kinds:
            layout = _layout(file, notes)
            layouts.setdefault(layout, []).append(file.name)
    if len(layouts) > 1:
        counts = "; ".join(f"{', '.join(where)}: {len(of[0])}" for of, where in layouts.items())
        raise SourceError(
            f"{tree.root}: the keypoints are not the same in all files ({counts} points); point "
            "data.path at one of these files"
        )
    return next(iter(layouts), ((), 0, False))


def _layout(file: CocoFile, notes: list[str]) -> tuple[tuple[str, ...], int, bool]:
    lists = {
        tuple(json_stream.plain(str(point)) for point in row["keypoints"]): row["name"]
        for row in file.categories.values()
        if isinstance(row.get("keypoints"), list) and row["keypoints"]
    }
    if len(lists) > 1:
        notes.append(f"{file.name}: its categories have different keypoints: left out")
        return (), 0, False
    names = next(iter(lists), ())
    whole = sum(count for _, count in coco_json.WHOLE_BODY)
    count = max(len(names), file.points)
    if file.whole_body or (len(names) == _BODY and file.points == _BODY + whole):
        names += tuple(
            name
            for key, points in coco_json.WHOLE_BODY
            for name in _PART_NAMES.get(key) or keypoints.numbered(key.split("_")[0], points)
        )
    elif count > len(names):
        categories = list(file.categories.values())
        owner = categories[0]["name"] if len(categories) == 1 else "point"
        names += keypoints.numbered(owner, count)[len(names) :]
        notes.append(
            f"{file.name}: {count} keypoints, not all named: a mirrored picture swaps those "
            "alone that a known layout or their names pair"
        )
    return names, count, file.whole_body


_PART_NAMES = {
    "foot_kpts": tuple(
        f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
    )
}
