"""KITTI: label_2/NAME.txt beside image_2/NAME.png, an object per line.

A line is type, truncated (0 to 1), occluded (0 to 3), alpha, left, top, right, bottom in pixels
from 0, and seven numbers in three dimensions, of which nothing is kept; some files end with a
score. "DontCare" marks a region where nothing was labelled: it is left out, and told.
Format: https://www.cvlibs.net/datasets/kitti/eval_object.php
"""

from __future__ import annotations

import collections
import itertools
import posixpath
from collections.abc import Iterator

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed

FOLDERS = ("label_2", "label_02", "label_3", "labels", "label")
NOTHING = "DontCare"
_PROBE = 5

read = listed.read


def detect(tree: files.Tree) -> bool:
    """Texts of KITTI's lines under a folder of its name."""
    for name in itertools.islice(_names(tree), _PROBE):
        try:
            lines = listed.text_of(tree, name).split("\n")
            if any(_object(name, line) for line in lines[:3] if line.strip()):
                return bool(layout.pictures(tree))
        except BadSample:
            continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every text. Raises SourceError."""
    tree = files.tree(path)
    entries, rejected, counts = [], [], collections.Counter()
    for name in _names(tree):
        stem = posixpath.splitext(posixpath.basename(name))[0]
        objects = []
        try:
            for number, line in enumerate(listed.text_of(tree, name).split("\n"), start=1):
                if line.strip():
                    found = _object(f"{name} line {number}", line)
                    counts[found.name] += 1
                    objects.append(found)
        except BadSample as error:
            rejected.append((stem, error.reason, error.detail))
            continue
        seen = tuple(item for item in objects if item.name != NOTHING)
        entries.append(listed.Entry(stem, name, seen, split=layout.split_of(name)))
    if not entries and not rejected:
        raise SourceError(f"{tree.root}: expected label_2/*.txt beside image_2; found none")
    regions = counts[NOTHING]
    notes = [f"{regions} regions {NOTHING}: left out, nothing is labelled there"] if regions else []
    return listed.listing(tree, entries, options, rejected=rejected, notes=notes)


def _names(tree: files.Tree) -> Iterator[str]:
    for name in tree.names:
        *folders, base = name.split("/")
        if base.endswith(".txt") and folders and folders[-1] in FOLDERS:
            yield name


def _object(where: str, line: str) -> listed.Object:
    """Raises BadSample."""
    cells = line.split()
    if len(cells) not in (15, 16):
        detail = f"{where}: expected KITTI's 15 or 16 cells, got {len(cells)}"
        raise BadSample("corrupt_annotation", detail)
    truncated, _, _, left, top, right, bottom, *_ = listed.numbers(where, cells[1:])
    return listed.Object(cells[0], (top, left, bottom, right), truncated=truncated > 0)
