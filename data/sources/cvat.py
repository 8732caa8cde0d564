"""CVAT for images 1.1: one XML, <annotations> with an <image> per picture.

Coordinates are continuous pixels from 0 of a picture of the stated size. <box> and <polygon> are
objects, a box's `rotation` turns it about its middle (its box is then around it); <polyline>,
<points>, <cuboid>, <skeleton> and <ellipse> are left out, and told. <tag>s are the classes of
pictures where nothing has objects. Splits are the images' `subset`.
Format: https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterator
from xml.etree import ElementTree

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed
from convoy.data.sources.number import finite
from convoy.data.sources.split import SPLITS

_LOOK_BYTES = 4096
_PROBE = 5

read = listed.read


def detect(tree: files.Tree) -> bool:
    """An XML that begins as CVAT's do, and names pictures."""
    for name in itertools.islice(_names(tree), _PROBE):
        try:
            head = layout.beginning(tree, name, _LOOK_BYTES)
        except OSError:
            continue
        if b"<annotations" in head and b"<image" in files.read(tree.where(name)):
            return bool(layout.pictures(tree))
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every <image>. Raises SourceError."""
    tree = files.tree(path)
    entries, rejected, left = [], [], collections.Counter()
    for name in _names(tree):
        root = _parsed(tree, name)
        if root is None:
            tree.pass_over(name, "it is not CVAT's XML")
            continue
        for number, node in enumerate(root.iter("image"), start=1):
            where = f"{name} image {number}"
            try:
                entries.append(_entry(where, node, left))
            except BadSample as error:
                rejected.append((node.get("name") or where, error.reason, error.detail))
    if not entries and not rejected:
        raise SourceError(
            f"{tree.root}: expected an XML of <annotations> with <image>s; found none"
        )
    kinds = [f"{count} <{kind}>" for kind, count in sorted(left.items())]
    notes = [f"left out, no boxes: {', '.join(kinds)}"] if kinds else []
    return listed.listing(tree, entries, options, rejected=rejected, notes=notes)


def _names(tree: files.Tree) -> Iterator[str]:
    return (name for name in tree.names if name.lower().endswith(".xml") and "/." not in name)


def _parsed(tree: files.Tree, name: str) -> ElementTree.Element | None:
    try:
        data = files.read(tree.where(name))
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities could expand without end
            return None
        root = ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError, ValueError, LookupError):
        return None
    return root if root.tag == "annotations" else None


def _entry(where: str, node: ElementTree.Element, left: collections.Counter) -> listed.Entry:
    """Raises BadSample."""
    objects, classes = [], []
    for child in node:
        name = child.get("label") or ""
        if child.tag == "tag":
            classes.append(name)
        elif child.tag == "box":
            objects.append(_box(where, name, child))
        elif child.tag == "polygon":
            points = (child.get("points") or "").replace(";", ",").split(",")
            objects.append(listed.polygon(where, name, points))
        else:
            left[child.tag] += 1
    if any(not item.name for item in objects):
        raise BadSample("corrupt_annotation", f"{where}: an object without a label")
    size = finite(node.get("height")), finite(node.get("width"))
    subset = (node.get("subset") or "").lower()
    split = SPLITS.get(subset, None if subset in ("", "default") else subset)
    return listed.Entry(node.get("name") or "", where, tuple(objects), tuple(classes), size, split)


def _box(where: str, name: str, node: ElementTree.Element) -> listed.Object:
    keys = ("xtl", "ytl", "xbr", "ybr")
    left, top, right, bottom = listed.numbers(where, [node.get(key) for key in keys])
    turn = math.radians(finite(node.get("rotation")) or 0.0)
    if turn:
        middle_y, middle_x = (top + bottom) / 2, (left + right) / 2
        height = abs((bottom - top) * math.cos(turn)) + abs((right - left) * math.sin(turn))
        width = abs((right - left) * math.cos(turn)) + abs((bottom - top) * math.sin(turn))
        top, bottom = middle_y - height / 2, middle_y + height / 2
        left, right = middle_x - width / 2, middle_x + width / 2
    return listed.Object(name, (top, left, bottom, right))
