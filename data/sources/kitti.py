"""KITTI: one .txt per picture in label_2 (or labels), an object per line of 15 or 16 values.

type truncated occluded alpha left top right bottom, then the 3D box and the score, which are not
read. Corners are counted from 0 and taken as continuous pixels, as detectors and FiftyOne take
them. DontCare regions have no class: they are left out with the warning "ignored_region". Pictures
lie in image_2 (also data, images) beside the folder of labels; where a label file may be of two,
both are rejected. Splits: training, testing, or a
hash.

Format: the readme of https://www.cvlibs.net/datasets/kitti/eval_object.php
"""

from __future__ import annotations

import posixpath

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, annotated
from convoy.data.sources.annotated import Page, Shape, read
from convoy.data.sources.number import finite

__all__ = ["detect", "read", "scan"]

_LABELS = ("label_2", "label_3", "labels", "label")
_PICTURES = {"label_2": ("image_2",), "label_3": ("image_3",)}
_OTHERS = ("data", "images", "image", "img")
_IGNORED = "DontCare"


def detect(tree: files.Tree) -> bool:
    """A .txt of such lines in a folder of labels, and pictures."""
    return annotated.any_lines(tree, _names(tree), _row)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every label file. Raises SourceError."""
    tree = files.tree(path)
    names = _names(tree)
    stems = annotated.Stems(tree)
    pages, rejected = [], []
    for name in names:
        folder, stem = posixpath.dirname(name), posixpath.splitext(posixpath.basename(name))[0]
        above, kind = posixpath.split(folder)
        places = [[posixpath.join(above, folder, stem) for folder in folders]
                  for folders in (_PICTURES.get(kind, ()), _OTHERS) if folders]  # fmt: skip
        picture, unclear = annotated.one_of(stems, places, name)
        rejected += unclear
        if unclear:
            tree.where(name)  # it is used: it tells what is rejected
            continue
        try:
            page = _page(picture or f"{places[0][0]}.png", name, annotated.lines(tree, name))
        except BadSample as error:
            rejected.append((picture or name, error.reason, error.detail))
            continue
        pages.append(page)
    if not names:
        raise SourceError(
            f"{tree.root}: expected label_2/000000.txt with image_2/000000.png, found no label file"
        )
    return annotated.listing(tree, pages, options, rejected=rejected)


def _names(tree: files.Tree) -> list[str]:
    names = (n for n in tree.names if n.lower().endswith(".txt") and "/." not in n)
    return [n for n in names if posixpath.basename(posixpath.dirname(n)).lower() in _LABELS]


def _page(picture: str, name: str, rows: list[str]) -> Page:
    shapes, faults = [], []
    for number, line in enumerate(rows, start=1):
        if not line.strip():
            continue
        shape = _row(line)
        if shape is None:
            raise BadSample(
                "corrupt_annotation",
                f"{name} line {number}: expected a type and 14 or 15 numbers, got {line[:80]!r}",
            )
        if shape.name == _IGNORED:
            faults.append(("ignored_region", f"{name} line {number}: {_IGNORED}"))
        else:
            shapes.append(shape)
    return Page(picture, name, tuple(shapes), faults=tuple(faults), found=True)


def _row(line: str) -> Shape | None:
    kind, *rest = line.split() or [""]
    values = list(map(finite, rest))
    if len(values) not in (14, 15) or None in values or finite(kind) is not None:
        return None
    left, top, right, bottom = values[3:7]
    return Shape(kind, (top, left, bottom, right), truncated=values[0] > 0)
