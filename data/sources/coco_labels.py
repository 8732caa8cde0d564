"""The classes of COCO's files: their categories by id, but those that are none.

Left out, and told: `_background_` and `__ignore__`, which labelme writes; and a category that only
groups the others, as Roboflow writes it first: no object has it, and it is the supercategory of all
other categories.
"""

from __future__ import annotations

from convoy.data.sample import Told
from convoy.data.sources import SourceError, coco_json
from convoy.data.sources.coco_json import CocoFile

_NO_CLASS = ("_background_", "__ignore__")


def by_id(categories) -> list[str]:
    return sorted(categories, key=coco_json.order_of)


def labels(used: list[CocoFile], notes: list[str]) -> tuple[tuple[str, ...], tuple[Told, ...]]:
    """Names of the categories by id, of a panoptic file alone its things; and those left out.

    Raises SourceError for an id of several names.
    """
    for file in used:
        for key, several in file.twice.items():
            raise SourceError(
                f"{file.name}: the categories {', '.join(map(repr, several))} have one id, {key}, "
                "so that nothing says of which class its objects are; give each category an id of "
                "its own, also in the category_id of its annotations"
            )
    described = [f for f in used if f.kinds & {"objects", "keypoints"}]
    grouping = _grouping(described)
    segments = [f for f in used if "segments" in f.kinds and not described]
    order: dict[str, str] = {}  # name -> id
    for file in described or segments or used:
        names: dict[str, str] = {}
        for key in by_id(file.categories):
            row = file.categories[key]
            if row["name"] in _NO_CLASS:
                notes.append(f"{file.name}: category {row['name']!r} is no class: left out")
            elif row["name"] in grouping:
                continue
            elif not segments or row.get("isthing", 1):
                if row["name"] in names:
                    notes.append(f"{file.name}: several categories are called {row['name']!r}")
                names.setdefault(row["name"], key)
        for name, key in names.items():
            if order.setdefault(name, key) != key:
                notes.append(f"{file.name}: category {name!r} has id {key}, not {order[name]}")
    names = tuple(sorted(order, key=lambda name: (coco_json.order_of(order[name]), name)))
    if not names and any("captions" in file.kinds for file in used):
        names = ("picture",)  # captions alone have no classes
    why = "groups all other categories and has no object: no class"
    told = Told("categories", len(grouping), why, tuple(sorted(grouping)))
    return names, (told,) if grouping else ()


def _grouping(described: list[CocoFile]) -> set[str]:
    """Names of categories that are the supercategory of all others and that no row has."""
    found: set[str] = set()
    others: set[str] = set()  # that some file says to be classes
    for file in described:
        rows = list(file.categories.values())
        used = {key for keys in file.used.values() for key in keys}
        others |= {file.categories[key]["name"] for key in used & file.categories.keys()}
        for row in rows:
            rest = [r for r in rows if r is not row and r["name"] not in _NO_CLASS]
            groups = rest and all(r.get("supercategory") == row["name"] for r in rest)
            top = row.get("supercategory") in (None, "", "none")
            (found if groups and top else others).add(row["name"])
    return found - others


def of_segments(tree, segments: list[CocoFile]) -> tuple[str, ...]:
    lists = {
        tuple(file.categories[key]["name"] for key in by_id(file.categories)) for file in segments
    }
    if len(lists) > 1 or any(len(names) > 255 for names in lists):
        raise SourceError(
            f"{tree.root}: {', '.join(f.name for f in segments)}: expected panoptic files with the "
            "same categories, 255 at most; point data.path at one of these files"
        )
    return next(iter(lists), ())
