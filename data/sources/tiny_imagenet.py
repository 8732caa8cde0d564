"""Tiny ImageNet: 64x64 pictures of synsets, each with the box of its object.

`train/<wnid>/images/*.JPEG` with `train/<wnid>/<wnid>_boxes.txt` (file, x0, y0, x1, y1, by blanks),
`val/images` with `val/val_annotations.txt` (file, wnid and the corners), `wnids.txt`, `words.txt`;
below `path` or in one folder of it. `test/images` has no labels and is not listed.

Corners count from 0 and are inclusive, 63 at most; they become [y0, x0, y1 + 1, x1 + 1]. Where both
corners are one row or column, the box was cut to nothing at the border when the picture was made
small, and its object is not in the picture: the box is left out, the class of the picture stays.
Names and order of the classes: data/sources/synsets.py.
"""

from __future__ import annotations

import posixpath
import re

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, synsets
from convoy.data.sources.voc_layout import decoded

_BOXES = re.compile(r"(.*/|)train/(n\d{8})/\2_boxes\.txt")
_FAR = 1 << 20  # pixels; no corner is there
_VAL = "val/val_annotations.txt"


def detect(tree: files.Tree) -> bool:
    """A file of boxes in a class folder, or of val."""
    return _root(tree) is not None


def scan(path, options: Options = Options()) -> Listing:
    """Lists train and val. Raises SourceError."""
    tree = files.tree(path)
    root = _root(tree)
    if root is None:
        raise SourceError(
            f"{tree.root}: expected train/nXXXXXXXX/nXXXXXXXX_boxes.txt or {_VAL}, found none"
        )
    pictures = [name for name in tree.under(root.rstrip("/")) if tree.is_picture(name)]
    rows = _rows(tree, root)
    entries = []  # (split, synset, rows, name)
    for name in pictures:
        folders, base = name[len(root) :].split("/")[:-1], posixpath.basename(name)
        if folders[:1] == ["train"] and len(folders) > 1:
            entries.append(("train", folders[1], rows.get(("train", folders[1], base), ()), name))
        elif folders[:1] == ["val"]:
            own = rows.get(("val", "", base), ())
            entries.append(("val", own[0][1] if own else "", own, name))
    top = [name for name in tree.names if posixpath.join(posixpath.dirname(name), "") == root]
    tables = {name: tree.where(name) for name in top}
    listed = tables.get(f"{root}wnids.txt")
    wnids = {wnid for _, wnid, _, _ in entries if synsets.WNID.fullmatch(wnid)}
    wnids |= set(decoded(files.needed(listed), errors="replace").split()) if listed else set()
    labels, label_of = synsets.classes(wnids, synsets.words(tables), options.labels, tree.root)
    references, rejected = [], []
    for split, wnid, own, name in entries:
        if not wnid:
            rejected.append((name, "missing_annotation", f"{name}: no line in {root}{_VAL}"))
        elif wnid not in label_of:
            rejected.append((name, "unknown_class", f"{name}: {wnid} is not among the labels"))
        else:
            boxes = tuple((line, *corners) for line, _, *corners in own)
            annotation = (label_of[wnid], boxes)
            references.append(Reference(name, split, tree.where(name), annotation))
    return Listing(
        tuple(sorted(references, key=lambda r: (r.split, r.source_id))),
        labels,
        tuple(sorted(rejected)),
        notes=_notes(pictures, root, has_words=any(label_of[n] != n for n in label_of)),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its class and boxes. Raises BadSample."""
    label, boxes = reference.annotation
    corners = []
    for line, *texts in boxes:
        try:
            corners.append([int(text) for text in texts])
        except ValueError:
            corners.append([])
        if len(corners[-1]) != 4 or max(map(abs, corners[-1])) > _FAR:
            detail = f"{line}: expected x0 y0 x1 y1 after the name, got {' '.join(texts)!r}"
            raise BadSample("corrupt_annotation", detail)
    picture = images.load(reference.image, max_pixels)
    objects = Objects(reference, picture, labels, warn)
    for x0, y0, x1, y1 in corners:
        solid = x1 > x0 and y1 > y0
        objects.add(label, (y0, x0, y1 + solid, x1 + solid))
    return objects.sample(labels=np.array([list(labels).index(label)], np.int64))


def _root(tree: files.Tree) -> str | None:
    """The folder that holds train and val, with its "/"; "" is the top."""
    for name in tree.names:
        match = _BOXES.fullmatch(name)
        if match:
            return match[1]
        if name == _VAL or name.endswith(f"/{_VAL}"):
            return name[: -len(_VAL)]
    return None


def _rows(tree: files.Tree, root: str) -> dict[tuple[str, str, str], list[tuple]]:
    """(split, folder of the class or "", file) -> its lines: (where, synset, *corners as text)."""
    rows: dict[tuple[str, str, str], list[tuple]] = {}
    for name in tree.under(root.rstrip("/")):
        match = _BOXES.fullmatch(name)
        if not match and name != f"{root}{_VAL}":
            continue
        split, folder = ("train", match[2]) if match else ("val", "")
        for number, line in enumerate(
            decoded(tree.read(name), errors="replace").splitlines(), start=1
        ):
            base, *cells = line.split() or [""]
            if base:
                wnid = folder or (cells.pop(0) if cells else "")
                row = (f"{name} line {number}", wnid, *cells)
                rows.setdefault((split, folder, base), []).append(row)
    return rows


def _notes(pictures: list[str], root: str, has_words: bool) -> tuple[str, ...]:
    notes = []
    tests = sum(name.startswith(f"{root}test/") for name in pictures)
    if tests:
        notes.append(f"{tests} pictures of test have no labels and are not used")
    if not has_words:
        notes.append("no words.txt was found: the classes are called by their synsets")
    return tuple(notes)
