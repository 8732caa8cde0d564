"""labelme: one JSON per picture, beside it or anywhere in the tree, or with the picture inside.

Points are continuous pixels (x, y) of a picture of imageWidth x imageHeight. Polygons, rectangles
(by any two corners), circles and masks are objects; those of one label and group_id are one object.
Lines and points have no area: left out with a warning. Where a picture has a polygon, a circle or a
mask all its objects have masks, a rectangle's filled. In a set without any shape the flags that are
true are the classes of the picture. Names that begin with "_" (_background_) are no classes.

Format: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import json
import posixpath
from typing import Any

import numpy as np
import PIL.Image

from convoy.data import masks
from convoy.data.files import files, json_stream
from convoy.data.images import images
from convoy.data.objects import Objects, sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, coco_json, ignore
from convoy.data.sources.split import hashed_split

_PROBE = 5  # files looked into by detect
_PROBE_BYTES = 1 << 26  # ... none larger than this
_NO_AREA = ("line", "linestrip", "point", "points")


def detect(tree: files.Tree) -> bool:
    """A JSON file with the shapes and the imagePath of a picture."""
    small = (n for n in _json_names(tree) if files.size(tree.where(n)) < _PROBE_BYTES)
    for name in itertools.islice(small, _PROBE):
        try:
            if _is_labelme(_parse(tree.where(name))):
                return True
        except BadSample:  # reported by scan
            continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every JSON file. Raises SourceError."""
    tree = files.tree(path)
    finder = _Finder(tree)
    by_picture: dict[str, tuple[str, bool]] = {}  # source_id -> (JSON, picture inside)
    rejected, shapes, flags, num_others = [], set(), set(), 0
    for name in _json_names(tree):
        try:
            content = _parse(tree.where(name))
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
            continue
        if not _is_labelme(content):
            num_others += 1
            tree.pass_over(name, "it is not labelme's JSON")
            continue
        picture = finder.find(name, content.get("imagePath"))
        inside = picture is None and isinstance(content.get("imageData"), str)
        if several := [] if picture or inside else finder.alike(name):
            detail = f"{name}: is it of {' or of '.join(several)}? Its imagePath names neither"
            rejected += [(other, "ambiguous_picture", detail) for other in several]
            continue
        source_id = picture or (name if inside else f"{posixpath.splitext(name)[0]}.jpg")
        if source_id in by_picture:
            detail = f"{name}: {by_picture[source_id][0]} is already of the picture {source_id}"
            rejected.append((name, "duplicate_annotation", detail))
            continue
        by_picture[source_id] = name, inside
        areas = (shape for shape in content["shapes"] if shape.get("shape_type") not in _NO_AREA)
        shapes |= {_label(shape) for shape in areas}
        flags |= set(_flags(content))
    if not by_picture:
        raise SourceError(
            f"{tree.root}: expected labelme's JSON files (shapes, imagePath) beside their pictures;"
            f" found none among {len(_json_names(tree))} JSON files"
        )
    shapes, flags = _classes(shapes), _classes(flags)
    references = []
    for source_id, (name, inside) in by_picture.items():
        split = coco_json.split_of(posixpath.join(posixpath.dirname(source_id), "x"))
        split = split or hashed_split(source_id, options.holdout, options.seed)
        where = tree.where(name)
        image = where if inside else tree.where(source_id)
        references.append(Reference(source_id, split, image, (where, inside, not shapes)))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    alone = len(finder) - sum(tree.is_picture(name) and name in tree for name in by_picture)
    notes = [f"{num_others} JSON files are not labelme's: left out"] if num_others else []
    notes += [f"{alone} pictures have no JSON file: left out"] if alone > 0 else []
    if shapes and flags:
        notes.append(f"flags of pictures are no classes here, as there are shapes: {list(flags)}")
    return Listing(
        tuple(references),
        options.labels or shapes or flags,
        tuple(sorted(rejected)),
        notes=tuple(notes),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects, or its classes. Raises BadSample."""
    where, inside, by_flags = reference.annotation
    content = _parse(where)
    if not _is_labelme(content):
        raise BadSample("corrupt_annotation", f"{files.name_of(where)}: no list of shapes in it")
    if inside:
        data = _unpack(content.get("imageData"), "corrupt_image", files.name_of(where))
        picture = images.upright(data, max_pixels)
    else:
        picture = images.load(reference.image, max_pixels)
    if by_flags:
        classes = _class_ids(_flags(content), labels, reference.source_id, warn)
        return sample_of(reference, picture, labels=np.array(classes, np.int64))
    size = content.get("imageHeight"), content.get("imageWidth")
    objects = Objects(reference, picture, labels, warn, size=size, where=files.name_of(where))
    grouped: dict[Any, list[dict]] = {}
    for index, shape in enumerate(content["shapes"]):
        group, name = shape.get("group_id"), _label(shape)
        if name.startswith("_"):
            continue
        key = (name, str(group)) if group is not None else index
        grouped.setdefault(key, []).append(shape)
    # One mask at a time is in memory: whether there is any is asked before.
    masked = any(_draw(shapes, objects, ignore)[1] is not None for shapes in grouped.values())
    for shapes in grouped.values():
        polygons, mask = _draw(shapes, objects, warn)
        if polygons:
            _add(objects, shapes, polygons, mask, masked)
    return objects.sample()


def _json_names(tree: files.Tree) -> list[str]:
    return [
        name
        for name in tree.names
        if name.lower().endswith(".json") and not posixpath.basename(name).startswith(".")
    ]


def _is_labelme(content: Any) -> bool:
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return False
    described = "imagePath" in content or "imageData" in content
    return described and all(isinstance(shape, dict) for shape in content["shapes"])


def _parse(where: files.Where) -> Any:
    path = files.name_of(where)
    try:
        return json.loads(files.read(where).decode("utf-8-sig"))
    except FileNotFoundError:
        raise BadSample("missing_annotation", f"{path}: no such file") from None
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadSample("corrupt_annotation", f"{path}: not JSON: {error}") from None


class _Finder:
    """The picture of a JSON: by imagePath, by its own name beside it, or the only one so named."""

    def __init__(self, tree: files.Tree):
        self._tree, self._pictures = tree, coco_json.Pictures(tree)
        self._stems: dict[str, list[str]] = {}
        for name in tree.pictures():
            stem = posixpath.splitext(posixpath.basename(name))[0]
            self._stems.setdefault(stem, []).append(name)

    def __len__(self) -> int:
        return len(self._pictures)

    def alike(self, json_name: str) -> list[str]:
        """The pictures of its name, where they are several."""
        alike = self._stems.get(posixpath.splitext(posixpath.basename(json_name))[0], [])
        return alike if len(alike) > 1 else []

    def find(self, json_name: str, image_path: Any) -> str | None:
        folder, base = posixpath.split(json_name)
        image_path = coco_json.relative(image_path) if isinstance(image_path, str) else ""
        path = posixpath.normpath(posixpath.join(folder, image_path))
        if self._tree.is_picture(path) and path in self._tree:
            return path
        stem = posixpath.splitext(base)[0]
        alike = self._stems.get(stem, [])
        beside = [name for name in alike if posixpath.dirname(name) == folder]
        fits = beside or alike
        return fits[0] if len(fits) == 1 else self._pictures.find(image_path, [], None)


def _label(shape: dict) -> str:
    label = shape.get("label")
    return json_stream.plain(label).strip() if isinstance(label, str) else ""


def _flags(content: dict) -> list[str]:
    flags = content.get("flags")
    flags = flags if isinstance(flags, dict) else {}
    names = (json_stream.plain(name) for name, on in flags.items() if on is True)
    return [name for name in names if not name.startswith("_")]


def _classes(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name and not name.startswith("_")))


def _class_ids(names: list[str], labels, where: str, warn) -> list[int]:
    """Classes of the names, sorted; warns of those that are no labels."""
    for name in set(names) - set(labels):
        warn("unknown_class", f"{where}: {name!r} is not among the labels")
    return sorted(list(labels).index(name) for name in set(names) & set(labels))


def _draw(shapes: list[dict], objects: Objects, warn):
    """(polygons around the shapes, their mask or None where they are all rectangles)."""
    polygons, rectangles, mask = [], [], None
    for shape in shapes:
        kind, where = shape.get("shape_type") or "polygon", objects.reference.source_id
        where = f"{where}: {kind} {_label(shape)!r}"
        try:
            outline = _outline(shape, kind)
            drawn = None
            if kind == "mask":
                drawn = _pasted(shape, outline, objects, where)
            elif kind == "rectangle":
                rectangles.append(outline)
            else:
                drawn = masks.of_polygons([outline], objects.height, objects.width)
        except (ValueError, BadSample) as error:
            reason = "unsupported_shape" if kind in _NO_AREA else "bad_segmentation"
            warn(reason, f"{where}: {error}")
            continue
        polygons.append(outline)
        if drawn is not None:
            mask = drawn if mask is None else masks.united(mask, drawn)
    if mask is not None and rectangles:
        mask = masks.united(mask, _filled(rectangles, objects))
    return polygons, mask


def _filled(rectangles: list[list[float]], objects: Objects) -> masks.Mask:
    """The mask of rectangles, which may reach far outside of the picture."""
    limits = np.tile([objects.width, objects.height], 4)
    inside = [np.clip(outline, 0, limits).tolist() for outline in rectangles]
    return masks.of_polygons(inside, objects.height, objects.width)


def _outline(shape: dict, kind: str) -> list[float]:
    """[x0, y0, x1, y1, ...]. Raises ValueError."""
    points = _points(shape)
    if kind == "polygon" or (kind not in _KINDS and kind not in _NO_AREA and len(points) > 2):
        return points.ravel().tolist()
    if kind not in _KINDS or len(points) < 2:
        raise ValueError(f"{len(points)} points of this kind enclose nothing; left out")
    if kind == "circle":
        (x, y), radius = points[0], float(np.hypot(*(points[1] - points[0])))
        return masks.ellipse(y, x, radius, radius)
    (xmin, ymin), (xmax, ymax) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    if kind == "mask":  # its corners are pixels, both inside
        xmin, ymin, xmax, ymax = int(xmin), int(ymin), int(xmax) + 1, int(ymax) + 1
    return [xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax]


_KINDS = ("polygon", "rectangle", "circle", "mask")


def _points(shape: dict) -> np.ndarray:
    """[N, (x, y)]. Raises ValueError."""
    try:
        points = np.array(shape.get("points"), float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its points are no numbers") from None
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("expected a list of points x, y")
    return points


def _pasted(shape: dict, outline: list[float], objects: Objects, where: str) -> masks.Mask:
    """The mask's PNG in a picture of the whole size. Raises ValueError, BadSample."""
    data = _unpack(shape.get("mask"), "bad_segmentation", where)
    picture = images.upright(data, label=True)
    small = np.asarray(PIL.Image.open(io.BytesIO(picture.image)).convert("L")) != 0
    top, left, bottom, right = map(int, masks.bounds([outline]))
    if small.shape != (bottom - top, right - left):
        raise ValueError(f"its PNG has size {small.shape}, its corners another")
    rows = slice(max(-top, 0), max(objects.height - top, 0))
    columns = slice(max(-left, 0), max(objects.width - left, 0))
    return masks.Mask(small[rows, columns].astype(np.uint8), max(top, 0), max(left, 0))


def _unpack(text: Any, reason: str, where: str) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise BadSample(reason, f"{where}: not base64") from None


def _add(objects: Objects, shapes, polygons, mask, masked: bool) -> None:
    if masked and mask is None:
        mask = _filled(polygons, objects)
    flags = [shape["flags"] for shape in shapes if isinstance(shape.get("flags"), dict)]
    objects.add(
        _label(shapes[0]),
        masks.bounds(polygons),
        difficult=any(flag.get("difficult") is True for flag in flags),
        truncated=any(flag.get("truncated") is True for flag in flags),
        mask=mask,
    )
