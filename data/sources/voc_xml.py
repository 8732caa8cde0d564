"""One annotation of VOC's XML form: read with care, and what its tags say.

Corners are pixels counted from 1, both inclusive, as the challenge and labelImg write them, or
continuous from 0, as CVAT does: then most are written with fractions ("10.0", "33.25"), or some
begin at 0 while others end at the picture's border, which no count of pixels does.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from typing import NamedTuple

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.sources.number import finite
from convoy.data.sources.voc_layout import decoded

OURS = "Convoy"  # <database> of what data/exports writes: fractions, and yet pixels from 1


class Survey(NamedTuple):
    """What all XML files of a data set say together."""

    classes: tuple[str, ...]
    actions: set[str]
    continuous: str  # why corners are taken as continuous from 0; empty = they are pixels from 1
    boxes: int
    named: dict[
        str, str
    ]  # unpacked XML files -> their <filename>, where it is not as they are called


def survey(texts: Iterable[files.Where]) -> Survey:
    """Reads every file; damaged ones are counted when they are read again."""
    classes, actions = set(), set()
    boxes = fractions = zeros = ends = 0
    named = {}
    for where in texts:
        try:
            tree = parse(where)
        except BadSample:
            continue
        base = _base(tree.findtext("filename"))
        if isinstance(where, str) and base.rpartition(".")[0] != _base(where).rpartition(".")[0]:
            named[where] = base
        size = [finite(tree.findtext(f"size/{side}")) for side in ("width", "height")]
        ours = tree.findtext("source/database") == OURS
        for node in tree.findall("object"):
            classes.add((node.findtext("name") or "").strip())
            actions.update(child.tag for child in node.iterfind("actions/*"))
            edges = {edge.tag: (edge.text or "").strip() for edge in node.iterfind("bndbox/*")}
            low = [finite(edges.get(tag)) for tag in ("xmin", "ymin")]
            high = [finite(edges.get(tag)) for tag in ("xmax", "ymax")]
            if None in low or None in high or ours:
                continue
            boxes += 1
            fractions += any("." in edge for edge in edges.values())
            zeros += any(value == 0 for value in low)
            ends += any(a == b for a, b in zip(high, size, strict=True))
    why = ""
    if 2 * fractions > boxes:
        why = f"{fractions} of {boxes} boxes have corners with fractions"
    elif zeros and ends:
        why = f"{zeros} boxes begin at 0 and {ends} end at the border of their picture"
    return Survey(tuple(sorted(classes - {""})), actions, why, boxes, named)


def file_name(where: files.Where) -> str:
    """What an XML file calls its picture, without folders."""
    try:
        return _base(parse(where).findtext("filename"))
    except BadSample:  # counted when it is read
        return ""


def _base(name: str | None) -> str:
    return (name or "").strip().replace("\\", "/").rpartition("/")[2]


def is_annotation(where: files.Where) -> bool:
    try:
        return parse(where) is not None
    except BadSample:
        return False


def parse(where: files.Where) -> ElementTree.Element:
    """<annotation> of a file. Raises BadSample."""
    return element(where, "annotation")


def element(where: files.Where, expected: str) -> ElementTree.Element:
    """The root, of this tag; document types are refused, so that no entity expands without end."""
    path = files.name_of(where)
    try:
        data = files.read(where)
    except FileNotFoundError:
        raise BadSample("missing_annotation", f"{path}: no such file") from None
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{path}: {error.strerror}") from None
    try:
        tree = _element(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadSample("corrupt_annotation", f"{path}: not well-formed XML: {error}") from None
    if tree.tag.lower() != expected:
        detail = f"{path}: expected <{expected}>, got <{tree.tag}>"
        raise BadSample("corrupt_annotation", detail)
    return tree


def _element(data: bytes) -> ElementTree.Element:
    """Expat reads UTF-8 and one-byte encodings; what it refuses is decoded here, and tried again.

    Raises ParseError, ValueError, LookupError.
    """
    if b"\0" not in data:
        _refuse(b"<!DOCTYPE" in data or b"<!ENTITY" in data)
        try:
            return ElementTree.fromstring(data)
        except (ElementTree.ParseError, ValueError, LookupError):
            pass
    head = re.match(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w-]+)", data[:200])
    text = decoded(data, head[1].decode() if head else "").strip()
    _refuse("<!DOCTYPE" in text or "<!ENTITY" in text or "\0" in text)
    return ElementTree.fromstring(text)


def _refuse(forbidden: bool) -> None:
    if forbidden:
        raise ValueError("it has a document type or NUL bytes; refused")


def corners(tags: dict, first: int) -> tuple[float | None, ...]:
    """<bndbox> as (ymin, xmin, ymax, xmax) in continuous pixels; None for what is missing.

    first: the number of the first pixel; 0 = corners are continuous.
    """
    edges = {child.tag: finite(child.text) for child in tags.get("bndbox", ())}
    ymin, xmin, ymax, xmax = (edges.get(tag) for tag in ("ymin", "xmin", "ymax", "xmax"))
    if None in (ymin, xmin, ymax, xmax):
        return None, None, None, None
    if ymax == ymin or xmax == xmin:  # a corner is a pixel: what encloses none is not a box
        return ymin, xmin, ymin, xmin
    (ymin, ymax), (xmin, xmax) = _counted(ymin, ymax, first), _counted(xmin, xmax, first)
    return ymin, xmin, ymax, xmax


def _counted(low: float, high: float, first: int) -> tuple[float, float]:
    """Two edges, `first` taken off the lower one; which is which is left to data/objects.py."""
    return (low - first, high) if low < high else (low, high - first)


def parts(node, first: int) -> list[tuple[str, tuple]]:
    found = []
    for part in node.findall("part"):
        tags = {child.tag: child for child in part}
        name = (tags["name"].text or "").strip() if "name" in tags else ""
        found.append((name, corners(tags, first)))
    return found


def acted(tags: dict, actions: tuple[str, ...]) -> list[int]:
    """1, 0 or -1 (not said) for each action."""
    if not actions or "actions" not in tags:
        return [-1] * len(actions)
    values = {child.tag: finite(child.text) for child in tags["actions"]}
    return [-1 if values.get(name) is None else int(values[name] > 0) for name in actions]


def flag(tags, name: str) -> bool:
    return name in tags and bool(finite(tags[name].text))
