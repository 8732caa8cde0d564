"""VIA, the VGG image annotator: JSON of versions 1 and 2, projects of version 2, and CSV exports.

Shapes are continuous pixels: rect, circle, ellipse, polygon, and a polyline that ends where it
begins; points and open lines have no area and are left out with a warning. Where a picture has a
shape that is no rect all its objects have masks.

The class of a region is the value of one of its attributes: the only one that the set has, or else
one called name, label, class, type, category or object, or else the one given most often. Of
several options that are ticked the first by name counts. Regions without any attribute are of the
class "object". In a set without regions, attributes of the files are the classes of the pictures.
Pictures lie beside the JSON, in folders of the project's default_filepath, or by their name.

Format: https://www.robots.ox.ac.uk/~vgg/software/via/
"""

from __future__ import annotations

import collections
import csv
import io
import itertools
import json
import posixpath
from typing import Any

import numpy as np

from convoy.data import masks
from convoy.data.files import files, json_stream
from convoy.data.images import images
from convoy.data.objects import Objects, sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, coco_json, ignore
from convoy.data.sources.split import hashed_split

_PROBE = 5  # files looked into by detect
_PROBE_BYTES = 1 << 26  # ... none larger than this
CLASS_NAMES = ("name", "label", "class", "type", "category", "object")
OBJECT = "object"
_HEAD = ("filename", "file_attributes", "region_shape_attributes", "region_attributes")


def detect(tree: files.Tree) -> bool:
    """A JSON or CSV file with pictures and regions as VIA writes them."""
    for ending in (".json", ".csv"):
        small = (n for n in _names(tree, ending) if files.size(tree.where(n)) < _PROBE_BYTES)
        for name in itertools.islice(small, _PROBE):
            try:
                if _entries(tree, name):
                    return True
            except BadSample:  # reported by scan
                continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of every VIA file; of CSV files only where no JSON is VIA's.

    Raises SourceError.
    """
    tree = files.tree(path)
    entries, rejected, notes = _collect(tree)
    if not entries:
        raise SourceError(
            f"{tree.root}: expected a JSON or CSV file of the VGG image annotator (filename, "
            "regions), found none"
        )
    regions = [region for _, entry in entries.values() for region in _regions(entry)]
    by_file = not regions
    rows = [_attributes(entry, "file_attributes") for _, entry in entries.values()]
    rows = rows if by_file else [_attributes(region, "region_attributes") for region in regions]
    attribute = _choose(rows, "files" if by_file else "regions", notes)
    names = {name for row in rows for name in _values(row, attribute)}
    if not names and regions:
        attribute, names = None, {OBJECT}
    references = []
    for source_id, (name, entry) in entries.items():
        split = coco_json.split_of(name) or hashed_split(source_id, options.holdout, options.seed)
        kept = {"regions": _regions(entry), "file": _attributes(entry, "file_attributes")}
        raw = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        annotation = (raw.encode("utf-8", "surrogatepass"), attribute, by_file)
        references.append(Reference(source_id, split, tree.where(source_id), annotation))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(
        tuple(references),
        options.labels or tuple(sorted(names)),
        tuple(sorted(rejected)),
        notes=tuple(notes),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects, or its classes. Raises BadSample."""
    raw, attribute, by_file = reference.annotation
    entry = json.loads(raw.decode("utf-8", "surrogatepass"))
    picture = images.load(reference.image, max_pixels)
    if by_file:
        names = set(_values(entry["file"], attribute)) if attribute else set()
        for name in sorted(names - set(labels)):
            warn("unknown_class", f"{reference.source_id}: {name!r} is not among the labels")
        classes = sorted(list(labels).index(name) for name in names & set(labels))
        return sample_of(reference, picture, labels=np.array(classes, np.int64))
    objects = Objects(reference, picture, labels, warn)
    drawn = []
    for region in entry["regions"]:
        where = f"{reference.source_id}: region {len(drawn)}"
        names = [OBJECT]
        if attribute:
            names = sorted(_values(_attributes(region, "region_attributes"), attribute)) or [""]
        if len(names) > 1:
            warn("several_classes", f"{where}: {names}; the first is taken")
        shape = _attributes(region, "shape_attributes")
        try:
            drawn.append((names[0], shape.get("name") == "rect", outline(shape)))
        except _Unsupported as error:
            warn("unsupported_shape", f"{where}: {error}")
        except ValueError as error:
            warn("bad_segmentation", f"{where}: {error}")
    masked = any(not rectangle for _, rectangle, _ in drawn)
    for name, _, polygon in drawn:
        mask = None
        if masked:
            try:
                mask = masks.of_polygons([polygon], objects.height, objects.width)
            except ValueError as error:
                warn("bad_segmentation", f"{reference.source_id}: {name}: {error}")
                continue
        objects.add(name, masks.bounds([polygon]), mask=mask)
    return objects.sample()


class _Unsupported(ValueError):
    """A shape that encloses nothing."""


def outline(shape: dict) -> list[float]:
    """[x0, y0, x1, y1, ...] of shape_attributes. Raises ValueError, _Unsupported."""
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = (_number(shape, key) for key in ("x", "y", "width", "height"))
        return [x, y, x + width, y, x + width, y + height, x, y + height]
    if kind in ("circle", "ellipse"):
        radii = ("r", "r") if kind == "circle" else ("ry", "rx")
        y, x, radius_y, radius_x = (_number(shape, key) for key in ("cy", "cx", *radii))
        angle = _number(shape, "theta") if "theta" in shape else 0.0
        return masks.ellipse(y, x, radius_y, radius_x, angle)
    if kind not in ("polygon", "polyline"):
        raise _Unsupported(f"{kind!r} encloses nothing; left out")
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)):
        raise ValueError("expected as many all_points_x as all_points_y")
    pairs = [dict(zip("xy", pair, strict=True)) for pair in zip(xs, ys, strict=True)]
    points = [(_number(pair, "x"), _number(pair, "y")) for pair in pairs]
    if kind == "polyline" and (len(points) < 4 or points[0] != points[-1]):
        raise _Unsupported("an open line encloses nothing; left out")
    if len(points) < 3:
        raise ValueError(f"a polygon needs three points and more, got {len(points)}")
    return [value for point in points for value in point]


def _number(values: dict, key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise ValueError(f"{key} is {value!r}, expected a number of pixels")
    return float(value)


def _names(tree: files.Tree, ending: str) -> list[str]:
    return [
        name
        for name in tree.names
        if name.lower().endswith(ending) and not posixpath.basename(name).startswith(".")
    ]


def _collect(tree: files.Tree):
    """(picture -> (VIA file, entry), rejected, notes)."""
    by_picture: dict[str, tuple[str, dict]] = {}
    rejected, notes = [], []
    pictures = coco_json.Pictures(tree)
    for ending in (".json", ".csv"):
        for name in [] if by_picture else _names(tree, ending):
            try:
                entries = _entries(tree, name)
            except BadSample as error:
                rejected.append((name, error.reason, error.detail))
                continue
            if not entries:
                tree.pass_over(name, "it is no file of VIA")
            split = coco_json.split_of(name)
            beside = posixpath.dirname(name)
            for entry in entries:
                file = entry["filename"]
                folders = [beside, posixpath.join(beside, coco_json.relative(entry["folder"])), ""]
                picture = pictures.find(file, folders, split) or coco_json.expected(beside, file)
                before, other = by_picture.setdefault(picture, (name, entry))
                if other is entry:
                    continue
                if _regions(other) != _regions(entry):
                    raise SourceError(
                        f"{tree.root}: {before} and {name} say different things of {picture}; "
                        "keep one of them in the folder"
                    )
                notes.append(f"{name}: {picture} is there twice, with the same regions")
    rest = len(pictures) - sum(picture in tree for picture in by_picture)
    notes += [f"{rest} pictures are in no VIA file: left out"] if rest > 0 else []
    return by_picture, rejected, notes


def _entries(tree: files.Tree, name: str) -> list[dict]:
    """The pictures that a VIA file describes; none where it is another file.

    Raises BadSample for a file that is no JSON at all.
    """
    try:
        text = tree.read(name).decode("utf-8-sig")
        content = _from_csv(text) if name.lower().endswith(".csv") else json.loads(text)
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{name}: {error.strerror}") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise BadSample("corrupt_annotation", f"{name}: {error}") from None
    folder = ""
    if isinstance(content, dict) and isinstance(content.get("_via_img_metadata"), dict):
        settings = content.get("_via_settings")
        core = settings.get("core") if isinstance(settings, dict) else None
        folder = core.get("default_filepath") if isinstance(core, dict) else ""
        content = content["_via_img_metadata"]
    values = list(content.values()) if isinstance(content, dict) else []
    fits = [
        value
        for value in values
        if isinstance(value, dict)
        and isinstance(value.get("filename"), str)
        and isinstance(value.get("regions"), (dict, list))
    ]
    folder = folder if isinstance(folder, str) else ""
    return [{**value, "folder": folder} for value in fits] if len(fits) * 2 > len(values) else []


def _from_csv(text: str) -> dict[str, dict]:
    """The same as in JSON out of rows of one region each; {} where the header is another."""
    rows = csv.reader(io.StringIO(text.lstrip("#")))
    head = next(rows, [])
    if not set(_HEAD) <= set(head):
        return {}
    entries: dict[str, dict] = {}
    for row in rows:
        cells = dict(zip(head, row, strict=False))
        if not cells.get("filename"):
            continue
        attributes = json.loads(cells.get("file_attributes") or "{}")
        start = {"filename": cells["filename"], "file_attributes": attributes, "regions": []}
        entry = entries.setdefault(cells["filename"], start)
        shape = json.loads(cells.get("region_shape_attributes") or "{}")
        if shape:
            region = json.loads(cells.get("region_attributes") or "{}")
            entry["regions"].append({"shape_attributes": shape, "region_attributes": region})
    return entries


def _regions(entry: dict) -> list[dict]:
    regions = entry["regions"]
    regions = regions.values() if isinstance(regions, dict) else regions
    return [region for region in regions if isinstance(region, dict)]


def _attributes(row: dict, key: str) -> dict:
    return row[key] if isinstance(row.get(key), dict) else {}


def _choose(rows: list[dict], owner: str, notes: list[str]) -> str | None:
    """The attribute that holds the class; None where there is none."""
    counts = collections.Counter(name for row in rows for name in row if _values(row, name))
    if len(counts) <= 1:
        return next(iter(counts), None)
    usual = [
        name for usual_name in CLASS_NAMES for name in sorted(counts) if name.lower() == usual_name
    ]
    chosen = usual[0] if usual else min(counts, key=lambda name: (-counts[name], name))
    notes.append(f"of the attributes of {owner}, {sorted(counts)}, {chosen!r} gives the class")
    return chosen


def _values(row: dict, attribute: str | None) -> list[str]:
    """Class names: of text or a number itself, of options ({"cat": true}) those that are ticked."""
    value: Any = row.get(attribute)
    names = []
    if isinstance(value, dict):
        names = [name for name, on in value.items() if on in (True, "true", 1)]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        names = [str(value)]
    elif isinstance(value, str):
        names = [value]
    return sorted({json_stream.plain(name).strip() for name in names} - {""})
