"""COCO: instances, person keypoints, captions, panoptic and image_info JSON files.

Layouts: `annotations/instances_train2017.json` and so on with `train2017/` or `images/train2017/`;
`train.json` and `val.json` anywhere; Roboflow's `train/_annotations.coco.json` beside its pictures;
one JSON file, then split by a hash; the zips as downloaded; or the path of one JSON file, whose
pictures lie beside it or in folders of its parent. Each file is parsed once, by `scan`.

Boxes [x, y, width, height] and polygons are continuous pixels already; keypoints [x, y, v] are
taken as written. A category's place in the list sorted by category id is its class. An `area` that
is stated is kept. A row of keypoints that has no box gets the box around its points.

Files of one split complete each other: a keypoints file gives its points to the objects of the
instances file by annotation id, captions join. A panoptic file gives the segmentation of all its
categories (255 = unlabelled), and, to pictures that no instances file lists, an object for each
segment of a thing; where instances are there, they are the objects.

COCO-WholeBody's foot_kpts, face_kpts, lefthand_kpts and righthand_kpts follow the 17 of the body.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import posixpath

from convoy.data import keypoints
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.sample import Listing, Reference, Sample, Told
from convoy.data.sources import (
    Options,
    SourceError,
    coco_json,
    coco_labels,
    coco_points,
    coco_rows,
    ignore,
)
from convoy.data.sources.coco_json import CocoFile
from convoy.data.sources.split import hashed_split

_LIKELY = ("instances", "keypoints", "captions", "panoptic", "coco", "train", "val", "image_info")
_DETECT = 6  # JSON files looked into by detect


def detect(tree: files.Tree) -> bool:
    """A JSON file whose pictures or rows are COCO's."""
    names = _json_names(tree)
    likely = [n for n in names if any(word in posixpath.basename(n).lower() for word in _LIKELY)]
    looked = list(dict.fromkeys([*likely[:_DETECT], *names[:_DETECT]]))
    return any(coco_json.is_coco(tree, name) for name in looked)


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture that a JSON file names, those without annotations too.

    Raises SourceError, also where several files describe the same pictures in different ways.
    """
    tree, names = _open(path)
    loaded = [coco_json.load(tree, name) for name in names]
    placed, notes = [], []
    pictures = coco_json.Pictures(tree)
    for file in sorted(loaded, key=lambda file: (file.split is None, file.name)):
        place = _place(file, pictures)
        if any(name in tree for name in place.values()) or not place:
            placed.append((file, place))
        else:
            notes.append(f"{file.name}: none of its {len(place)} pictures is there: left out")
            tree.pass_over(file.name, "none of its pictures is there")
    if not any(place for _, place in placed):
        raise SourceError(
            f"{tree.root}: expected the pictures that {', '.join(names)} name, such as "
            f"{_first_file_name(loaded)}, beside the JSON, in a folder named as it or as its split "
            f"(train2017, images/train); found none of them among {len(pictures)} pictures"
        )
    names, body, whole = coco_points.names(tree, [file for file, _ in placed], notes)
    unclear = _unclear(placed, pictures)
    entries = _entries(tree, placed, options, notes)
    entries = {key: entry for key, entry in entries.items() if key[1] not in unclear}
    ambiguous = _joined(entries.values())
    references = _references(tree, entries, (body, whole))
    used = [file for file, _ in placed]
    labels, grouping = coco_labels.labels(used, notes)
    why = "all between 0 and 1: taken as parts of the picture's size"
    ambiguous += [Told("boxes", f.boxes.count, why, (f.name,)) for f in used if f.boxes.relative]
    segments = [file for file in used if "segments" in file.kinds]
    lost = sum(name in pictures for name in unclear)  # rejected, not left out
    notes += _unlisted(len(pictures) - lost, entries, segments)
    return Listing(
        tuple(references),
        options.labels or labels,
        tuple(sorted([*unclear.values(), *(row for file in used for row in file.rejected)])),
        segmentation_labels=coco_labels.of_segments(tree, segments),
        keypoints=names,
        keypoint_pairs=keypoints.pairs(names),
        notes=tuple(notes),
        unused=()
        if {*options.labels} & {n for told in grouping for n in told.examples}
        else grouping,
        ambiguous=tuple(ambiguous),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with all that the files say of it. Raises BadSample."""
    return coco_rows.sample(reference, labels, max_pixels, warn)


def _json_names(tree: files.Tree) -> list[str]:
    """JSON files, none hidden, those near the top first."""
    names = [name for name in tree.names if name.lower().endswith(".json")]
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    return sorted(names, key=lambda name: (name.count("/"), name))


def _open(path) -> tuple[files.Tree, list[str]]:
    """The tree and its COCO files; of a single JSON file the folder that has its pictures."""
    tree = files.tree(path)
    if not (os.path.isfile(tree.root) and tree.root.lower().endswith(".json")):
        every = _json_names(tree)
        names = [name for name in every if coco_json.is_coco(tree, name)]
        for name in {*every} - {*names}:
            tree.pass_over(name, "it is not COCO's JSON")
        if not names:
            raise SourceError(
                f"{tree.root}: expected COCO's JSON files ({{images, annotations, categories}}), "
                f"such as {tree.root}/annotations/instances_train2017.json; found none"
            )
        return tree, names
    if not coco_json.is_coco(tree, tree.names[0]):
        raise SourceError(f"{tree.root}: expected COCO's {{images, annotations, categories}}")
    folder = os.path.dirname(os.path.abspath(tree.root))
    file = coco_json.load(tree, tree.names[0])
    for root in (folder, os.path.dirname(folder)):
        wider = files.Tree(root)
        name = os.path.relpath(os.path.abspath(tree.root), root).replace(os.sep, "/")
        place = _place(dataclasses.replace(file, name=name), coco_json.Pictures(wider))
        if any(picture in wider for picture in place.values()):
            return wider, [name]
    return files.Tree(folder), tree.names


def _place(file: CocoFile, pictures: coco_json.Pictures) -> dict[str, str]:
    """Image id -> the picture's name in the tree, or the name that it should have."""
    folders = pictures.folders(file)
    place = {}
    for key, (file_name, _) in file.images.items():
        name = pictures.find(file_name, folders, file.split)
        place[key] = name or coco_json.expected(folders[0], file_name)
    return place


@dataclasses.dataclass
class _Entry:
    """A picture of a split and the rows of it: (file, image id)."""

    size: tuple[int, int] | None = None
    parts: list[tuple[CocoFile, str]] = dataclasses.field(default_factory=list)


def _entries(tree, placed, options: Options, notes: list[str]) -> dict[tuple[str, str], _Entry]:
    """(split, picture) -> entry. A file without a split whose pictures all have one is left out."""
    entries: dict[tuple[str, str], _Entry] = {}
    in_splits: set[str] = set()
    for file, place in list(placed):
        objects = _kind(file) in ("objects", "keypoints", "")
        if file.split is None and objects and place and in_splits.issuperset(place.values()):
            notes.append(f"{file.name}: other files give a split to its pictures: left out")
            tree.pass_over(file.name, "other files give a split to its pictures")
            placed.remove((file, place))
            continue
        splits = collections.defaultdict(list)
        for split, picture in entries:
            splits[picture].append(split)
        for key, picture in place.items():
            hashed = [hashed_split(picture, options.holdout, options.seed)]
            for split in [file.split] if file.split else splits.get(picture, hashed):
                entry = entries.setdefault((split, picture), _Entry())
                entry.size = entry.size or file.images[key][1]
                entry.parts.append((file, key))
                _check_alone(tree, entry, file)
        if file.split:
            in_splits.update(place.values())
    return entries


def _check_alone(tree, entry: _Entry, file: CocoFile) -> None:
    """Raises where two files say of the same picture what objects it has."""
    for kind in ("objects", "keypoints", "segments"):
        names = {f.name for f, key in entry.parts if _kind(f) == kind and key in f.rows}
        if len(names) > 1:
            raise SourceError(
                f"{tree.root}: {' and '.join(sorted(names))} describe the same pictures, so that "
                "each object would be there twice; point data.path at one of these files"
            )


def _unclear(placed, pictures: coco_json.Pictures) -> dict[str, tuple[str, str, str]]:
    """Picture -> why it is rejected: one id of two pictures, or two file names of one picture."""
    rejected: dict[str, tuple[str, str, str]] = {}
    for file, place in placed:
        folders = pictures.folders(file)
        for key, file_names in file.unclear.items():
            detail = f"{file.name}: image id {key} is of {' and of '.join(file_names)}: whose its "
            detail += "annotations are is not known"
            for file_name in file_names:
                name = pictures.find(file_name, folders, file.split)
                name = name or coco_json.expected(folders[0], file_name)
                rejected[name] = name, "ambiguous_id", detail
        called = collections.defaultdict(set)
        for key, name in place.items():
            called[name].add(coco_json.relative(file.images[key][0]))
        for name, file_names in called.items():
            if len(file_names) > 1 and name in pictures:
                several = ", ".join(sorted(file_names)[:5])
                detail = f"{file.name}: {several} could all be {name}"
                rejected[name] = name, "ambiguous_picture", detail
    return rejected


def _joined(entries) -> list[Told]:
    """Joins the rows of a picture that a file lists under several ids, each row once."""
    told: dict[str, list[str]] = collections.defaultdict(list)
    for entry in entries:
        keys = collections.defaultdict(dict)
        for file, key in entry.parts:
            keys[file.name][key] = file
        for name, own in keys.items():
            if len(own) < 2:
                continue
            file, first = next(iter(own.values())), next(iter(own))
            rows = {coco_rows.content(raw): raw for key in own for raw in file.rows.get(key, ())}
            categories = [c for key in own for c in file.used.get(key, ())]
            for key in own:
                file.rows.pop(key, None)
            file.rows[first] = list(rows.values())
            file.used[first] = list(dict.fromkeys(categories))
            told[name].append(file.images[first][0])
            entry.parts = [p for p in entry.parts if p[0] is not file or p[1] == first]
    why = "listed under several ids: their annotations are joined, equal ones taken once"
    return [Told(f"pictures of {n}", len(own), why, tuple(own[:3])) for n, own in told.items()]


def _kind(file: CocoFile) -> str:
    """What its rows are; keypoints where they have any."""
    kinds = ("segments", "keypoints", "objects", "captions")
    return next((kind for kind in kinds if kind in file.kinds), "")


def _references(tree, entries, layout) -> list[Reference]:
    """Takes the rows out of the files, so that they are not held twice."""
    references, interned = [], {}
    left = collections.Counter(
        (file.name, key) for entry in entries.values() for file, key in entry.parts
    )
    for (split, picture), entry in sorted(entries.items(), key=lambda item: item[0]):
        parts, png, things = [], None, True
        for file, key in entry.parts:
            rows = file.rows.get(key, [])
            things &= _kind(file) not in ("objects", "keypoints")
            if not rows:
                continue
            if "segments" in file.kinds:
                png = _png(tree, file, file.pngs.get(key, ""))
            names = tuple(
                (category, file.categories[category]["name"])
                for category in sorted(file.used[key], key=coco_json.order_of)
                if category in file.categories
            )
            parts.append((interned.setdefault(names, names), tuple(rows), file.boxes.relative))
            left[file.name, key] -= 1
            if not left[file.name, key]:  # else another split needs them, too
                del file.rows[key]
        segments = _segment_classes(entry) if png else ()
        segments = interned.setdefault(segments, segments)
        annotation = (entry.size, tuple(parts), layout, (png, segments, things) if png else None)
        references.append(Reference(picture, split, tree.where(picture), annotation))
    return references


def _png(tree, file: CocoFile, file_name: str) -> files.Where:
    """A panoptic PNG: in the folder named as the JSON, or beside it."""
    name = coco_json.relative(file_name)
    folder, base = posixpath.split(file.name)
    stem = posixpath.splitext(base)[0]
    for place in (posixpath.join(folder, stem), stem, folder, posixpath.join("annotations", stem)):
        full = posixpath.normpath(posixpath.join(place, name))
        if full in tree:
            return tree.where(full)
    return tree.where(coco_json.expected(posixpath.join(folder, stem), file_name))


def _segment_classes(entry: _Entry) -> tuple[tuple[str, int, bool], ...]:
    """(category id, value in the segmentation, whether it is a thing) of an entry's segments."""
    (file, key), *_ = (part for part in entry.parts if "segments" in part[0].kinds)
    return tuple(
        (category, value, bool(file.categories[category].get("isthing", 1)))
        for value, category in enumerate(coco_labels.by_id(file.categories))
        if category in file.used[key]
    )


def _unlisted(count: int, entries, segments) -> list[str]:
    """How many pictures no file names, panoptic PNGs left out of account."""
    rest = count - len({picture for _, picture in entries})
    rest -= sum(len(file.pngs) for file in segments)
    return [f"{rest} pictures are named by no JSON file: left out"] if rest > 0 else []


def _first_file_name(loaded: list[CocoFile]) -> str:
    names = (name for file in loaded for name, _ in file.images.values())
    return next(names, "(they name none)")
