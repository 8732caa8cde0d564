"""CVAT for images 1.1: one XML of all pictures, <annotations> with an <image> each.

Boxes and points are continuous pixels from 0. Boxes and ellipses that are turned, polygons and
masks give masks; polylines, points, cuboids and skeletons are left out with a warning. Tags are
classes of pictures, used where no picture has a shape. Classes are the labels of <meta>, in its
order. The attribute subset is the split. Tracks (CVAT for video) are refused by name.

Format: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

from convoy.data import masks
from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, annotated, voc_xml
from convoy.data.sources.annotated import Page, Shape, read
from convoy.data.sources.number import finite
from convoy.data.sources.split import SPLITS

__all__ = ["detect", "read", "scan"]

_HEAD = 1 << 12  # bytes that detect reads
_START = re.compile(rb"<annotations[\s>].*?<(image|track|meta|version)[\s>/]", re.DOTALL)


def detect(tree: files.Tree) -> bool:
    """An XML file that begins as CVAT's."""
    return any(
        _begins(tree, name) for name in annotated.json_names(tree, ".xml")[: annotated.PROBE]
    )


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of every such file. Raises SourceError."""
    tree = files.tree(path)
    pages, rejected, labels = [], [], []
    for name in annotated.json_names(tree, ".xml"):
        if not _begins(tree, name):
            continue
        try:
            root = voc_xml.element(tree.where(name), "annotations")
        except BadSample as error:
            raise SourceError(f"{tree.root}: {error.detail}") from None
        if root.find("track") is not None and root.find("image") is None:
            raise SourceError(
                f"{tree.root}: {name} holds tracks of a video; export it as 'CVAT for images 1.1'"
            )
        found = (annotated.text(node.findtext("name")) for node in root.iter("label"))
        labels += [label for label in found if label]
        pages += [_page(name, node) for node in root.findall("image") if node.get("name")]
        nameless = sum(not node.get("name") for node in root.findall("image"))
        if nameless:
            detail = f"{name}: {nameless} images without a name"
            rejected.append((name, "corrupt_annotation", detail))
    if not pages:
        raise SourceError(
            f"{tree.root}: expected CVAT's annotations.xml with an <image> for each picture, "
            "found none"
        )
    names = tuple(dict.fromkeys(labels))
    return annotated.listing(tree, pages, options, names=names, rejected=rejected)


def _begins(tree: files.Tree, name: str) -> bool:
    where = tree.where(name)
    try:
        data = files.read(files.part(where, 0, min(_HEAD, files.length(where))))
    except OSError:
        return False
    return bool(_START.search(data))


def _page(name: str, node: ElementTree.Element) -> Page:
    shapes, faults, tags = [], [], []
    for child in node:
        label = annotated.text(child.get("label"))
        if child.tag == "tag":
            tags += [label] if label else []
            continue
        where = f"{name}: {node.get('name')}: {child.tag} {label!r}"
        try:
            shape = _shape(child, label)
        except ValueError as error:
            faults.append(("bad_segmentation", f"{where}: {error}"))
            continue
        if shape is None:
            faults.append(("unsupported_shape", f"{where} has no area"))
        else:
            shapes.append(shape)
    sides = [finite(node.get(key)) for key in ("height", "width")]
    size = annotated.whole(*(int(side) if side else None for side in sides))
    subset = (node.get("subset") or "").lower()
    return Page(node.get("name"), name, tuple(shapes), tuple(tags), size=size,
                split=SPLITS.get(subset), faults=tuple(faults))  # fmt: skip


def _shape(node: ElementTree.Element, label: str) -> Shape | None:
    """None for what has no area. Raises ValueError."""
    turned = _number(node, "rotation") if node.get("rotation") else 0.0
    if node.tag == "box":
        left, top, right, bottom = (_number(node, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        if not turned:
            return Shape(label, (top, left, bottom, right))
        return Shape(label, outlines=(_turned(left, top, right, bottom, turned),))
    if node.tag == "ellipse":
        y, x, ry, rx = (_number(node, key) for key in ("cy", "cx", "ry", "rx"))
        return Shape(label, outlines=(tuple(masks.ellipse(y, x, ry, rx, math.radians(turned))),))
    if node.tag == "polygon":
        ring = [finite(v) for point in (node.get("points") or "").split(";")
                for v in point.split(",")]  # fmt: skip
        ring = annotated.numbers(ring)
        if len(ring) < 6 or len(ring) % 2:
            raise ValueError(f"a polygon of {len(ring)} numbers")
        return Shape(label, outlines=(ring,))
    if node.tag == "mask":
        return _mask(node, label)
    return None


def _mask(node: ElementTree.Element, label: str) -> Shape:
    """CVAT's runs go along the rows of the mask's box; COCO's, which are kept, down its columns."""
    top, left, height, width = (int(_number(node, k)) for k in ("top", "left", "height", "width"))
    texts = [text.strip() for text in (node.get("rle") or "").split(",")]
    if not all(text.isdecimal() and len(text) < 10 for text in texts):
        raise ValueError("a mask whose runs are no numbers")
    if not 0 < height * width <= 1 << 28 or height < 0:
        raise ValueError(f"a mask of {width}x{height} pixels")
    runs = list(map(int, texts))
    rows = masks.from_rle({"size": [width, height], "counts": runs}, width, height).T
    packed = masks.to_rle(rows)["counts"]
    return Shape(label, runs=(top, left, height, width, packed))


def _turned(left, top, right, bottom, degrees: float) -> tuple[float, ...]:
    """The corners of a box that is turned around its center, clockwise as pictures show it."""
    x, y, angle = (left + right) / 2, (top + bottom) / 2, math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return tuple(
        value
        for px, py in corners
        for value in (x + (px - x) * cos - (py - y) * sin, y + (px - x) * sin + (py - y) * cos)
    )


def _number(node: ElementTree.Element, key: str) -> float:
    return annotated.numbers([finite(node.get(key))])[0]
