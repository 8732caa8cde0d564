"""Supervisely: meta.json, and for each data set a folder img with ann/PICTURE.json of each picture.

Points are indices of pixels, so that both corners of a rectangle are inside it: continuous corners
are [top, left, bottom + 1, right + 1]. Outlines run through the centers of their pixels. Bitmaps
are masks at an origin. Points, lines and cuboids are left out with a warning. Where no picture has
an object, the tags of the pictures are their classes. Classes are those of meta.json, in its order.
A data set called train, val, ... is a split, others are not; they are no classes.

Format: https://developer.supervisely.com/getting-started/supervisely-annotation-format
"""

from __future__ import annotations

import base64
import binascii
import io
import posixpath
import zlib
from typing import Any

import numpy as np
import PIL.Image

from convoy.data import masks
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, annotated
from convoy.data.sources.annotated import Page, Shape, read

__all__ = ["detect", "read", "scan"]

_MOST = 1 << 26  # bytes of a bitmap when unpacked


def detect(tree: files.Tree) -> bool:
    """A JSON file with a size and objects in a folder ann."""
    return annotated.any_json(tree, _is_ours, _names(tree)) if _names(tree) else False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every file of a folder ann. Raises SourceError."""
    tree = files.tree(path)
    rejected: list[tuple[str, str, str]] = []
    pages, others = [], 0
    pictures = {*tree.pictures()}
    for name, content in annotated.contents(tree, _names(tree), lambda _: True, rejected):
        picture = _picture(name, pictures)
        if not _is_ours(content):
            detail = f"{name}: expected an object with size and a list of objects"
            rejected.append((picture, "corrupt_annotation", detail))
            continue
        pages.append(_page(picture, name, content))
    if not pages:
        raise SourceError(
            f"{tree.root}: expected Supervisely's meta.json with DATASET/ann/PICTURE.json and "
            "DATASET/img, found none"
        )
    objects = any(page.shapes for page in pages)
    notes = [f"{others} files of folders ann are not Supervisely's"] if others else []
    names = _classes(tree, "classes", "title") if objects else _classes(tree, "tags", "name")
    return annotated.listing(tree, pages, options, names=names, rejected=rejected, notes=notes)


def _names(tree: files.Tree) -> list[str]:
    names = annotated.json_names(tree)
    return [n for n in names if posixpath.basename(posixpath.dirname(n)).lower() == "ann"]


def _is_ours(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("objects"), list)
        and isinstance(content.get("size"), dict)
    )


def _classes(tree: files.Tree, kind: str, key: str) -> tuple[str, ...]:
    """Of meta.json; () where it is missing or damaged: those found are the classes then."""
    names = [n for n in annotated.json_names(tree) if posixpath.basename(n).lower() == "meta.json"]
    for _, content in annotated.contents(tree, names, lambda c: isinstance(c, dict), []):
        rows = content.get(kind)
        found = [annotated.text(row.get(key)) for row in rows if isinstance(row, dict)] if (
            isinstance(rows, list)) else []  # fmt: skip
        return tuple(dict.fromkeys(filter(None, found)))
    return ()


def _picture(name: str, pictures: set[str]) -> str:
    """PICTURE.json of ann is of img/PICTURE; of old projects, of img/PICTURE with an ending."""
    folder = posixpath.join(posixpath.dirname(posixpath.dirname(name)), "img")
    base = posixpath.join(folder, posixpath.splitext(posixpath.basename(name))[0])
    ends = (base, *(base + ending for ending in files.PICTURES))
    return next((end for end in ends if end in pictures), base)


def _page(picture: str, name: str, content: dict) -> Page:
    shapes, faults = [], []
    for number, item in enumerate(content["objects"]):
        where = f"{name}: object {number}"
        if not isinstance(item, dict):
            faults.append(("bad_segmentation", f"{where} is no object"))
            continue
        try:
            shape = _shape(item)
        except ValueError as error:
            faults.append(("bad_segmentation", f"{where}: {error}"))
            continue
        if shape is None:
            kind = str(item.get("geometryType"))[:40]
            faults.append(("unsupported_shape", f"{where}: a {kind!r} has no area"))
        else:
            shapes.append(shape)
    size = annotated.whole(content["size"].get("height"), content["size"].get("width"))
    tags = content.get("tags")
    tags = [tag.get("name") for tag in tags if isinstance(tag, dict)] if isinstance(
        tags, list) else []  # fmt: skip
    classes = tuple(filter(None, map(annotated.text, tags)))
    return Page(picture, name, tuple(shapes), classes, size=size, faults=tuple(faults), found=True)


def _shape(item: dict) -> Shape | None:
    """None for what has no area. Raises ValueError."""
    kind, name = item.get("geometryType"), annotated.text(item.get("classTitle"))
    if kind == "bitmap":
        return _bitmap(name, item.get("bitmap"))
    if kind not in ("rectangle", "polygon"):
        return None
    points = item.get("points")
    if not isinstance(points, dict):
        raise ValueError("expected points")
    ring = _ring(points.get("exterior"))
    xs, ys = ring[0::2], ring[1::2]
    if not xs:
        raise ValueError("no points")
    box = min(ys), min(xs), max(ys) + 1, max(xs) + 1
    if kind == "rectangle":
        return Shape(name, box)
    holes = points.get("interior")
    holes = [_ring(hole) for hole in holes] if isinstance(holes, list) else []
    rings = [tuple(v + 0.5 for v in ring) for ring in (ring, *holes)]
    return Shape(name, box, tuple(rings[:1]), tuple(rings[1:]))


def _ring(points: Any) -> tuple[float, ...]:
    """Raises ValueError."""
    if not isinstance(points, list):
        raise ValueError("expected a list of points")
    return tuple(value for point in points for value in annotated.numbers(point, 2))


def _bitmap(name: str, content: Any) -> Shape:
    """Raises ValueError."""
    if not isinstance(content, dict) or not isinstance(content.get("data"), str):
        raise ValueError("a bitmap without data")
    x, y = (int(value) for value in annotated.numbers(content.get("origin"), 2))
    try:
        data = base64.b64decode(content["data"], validate=True)
        data = zlib.decompressobj().decompress(data, _MOST)
        images.inspect(data)
        picture = PIL.Image.open(io.BytesIO(data))
        pixels = np.asarray(picture.convert("RGBA"))[..., 3] if picture.mode in (
            "RGBA", "LA", "P") else np.asarray(picture.convert("L"))  # fmt: skip
    except (binascii.Error, zlib.error, BadSample, OSError) as error:
        raise ValueError(f"a damaged bitmap: {error}") from None
    runs = masks.to_rle(pixels)
    if not pixels.any():
        raise ValueError("an empty bitmap")
    rows, columns = np.nonzero(pixels.any(1))[0], np.nonzero(pixels.any(0))[0]
    box = (y + rows[0], x + columns[0], y + rows[-1] + 1, x + columns[-1] + 1)
    return Shape(name, tuple(map(float, box)), runs=(y, x, *pixels.shape, runs["counts"]))
