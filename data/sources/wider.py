"""WIDER FACE: wider_face_split/wider_face_train_bbx_gt.txt beside WIDER_train/images.

Per picture its name, the number of faces, and a line for each: x, y, w, h in pixels, then blur,
expression, illumination, invalid, occlusion, pose. Of a picture without faces the line is all 0.
An invalid face is marked difficult; one without an area is left out with a warning.
Format: http://shuoyang1213.me/WIDERFACE/
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed

FACE = "face"
_ENDING = "_bbx_gt.txt"
_INVALID = 7  # place of that mark in a face's line

read = listed.read


def detect(tree: files.Tree) -> bool:
    return any(map(_is_list, tree.names)) and bool(layout.pictures(tree))


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture of the lists. Raises SourceError."""
    tree = files.tree(path)
    entries, rejected = [], []
    for name in filter(_is_list, tree.names):
        try:
            text = listed.text_of(tree, name)
            entries += _entries(name, text.split("\n"), layout.split_in(posixpath.basename(name)))
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
    if not entries and not rejected:
        raise SourceError(f"{tree.root}: expected a list *{_ENDING}; found none")
    return listed.listing(tree, entries, options, rejected=rejected, labels=(FACE,))


def _is_list(name: str) -> bool:
    return name.endswith(_ENDING)


def _entries(name: str, lines: list[str], split: str | None) -> Iterator[listed.Entry]:
    """Raises BadSample: where one count is wrong, what follows cannot be told apart."""
    place = 0
    while place < len(lines):
        picture = lines[place].strip()
        place += 1
        if not picture:
            continue
        where = f"{name} line {place}"
        count = lines[place].strip() if place < len(lines) else ""
        if not files.is_picture(picture) or not count.isdecimal() or len(count) > 7:
            detail = f"{where}: expected a picture and the number of its faces, got {picture!r:.80}"
            raise BadSample("corrupt_annotation", detail)
        rows = lines[place + 1 : place + 1 + max(int(count), 1)]
        if count == "0" and rows and files.is_picture(rows[0].strip()):
            rows = []  # some lists leave the line of zeros out
        place += 1 + len(rows)
        faces = [_face(where, row) for row in rows[: int(count)]]
        yield listed.Entry(picture, where, tuple(faces), split=split)


def _face(where: str, line: str) -> listed.Object:
    cells = listed.numbers(where, line.split())
    if len(cells) < 4:
        raise BadSample("corrupt_annotation", f"{where}: expected x y w h, got {line!r:.80}")
    x, y, w, h = cells[:4]
    invalid = len(cells) > _INVALID and cells[_INVALID] > 0
    return listed.Object(FACE, (y, x, y + h, x + w), difficult=invalid)
