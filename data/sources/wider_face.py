"""WIDER FACE: lists of a picture's path, the number of its faces, and one face a line.

x y width height blur expression illumination invalid occlusion pose, continuous pixels. Faces that
are marked invalid are difficult. A picture of 0 faces is followed by one line of zeros. Splits are
words of the list's name (wider_face_train_bbx_gt.txt). The folders of events are no classes.

Format: http://shuoyang1213.me/WIDERFACE/, the readme of its annotations
"""

from __future__ import annotations

import posixpath

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, annotated, layout
from convoy.data.sources.annotated import Page, Shape, read
from convoy.data.sources.number import finite

__all__ = ["detect", "read", "scan"]

FACE = "face"


def detect(tree: files.Tree) -> bool:
    """A list whose first lines are a picture, a number and a face."""
    if not tree.pictures():
        return False
    return any(_begins(rows) for rows in annotated.beginning(tree, _names(tree)))


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of all lists. Raises SourceError."""
    tree = files.tree(path)
    pages, rejected, others = [], [], 0
    for name in _names(tree):
        try:
            rows = annotated.lines(tree, name)
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
            continue
        if _begins([row for row in rows if row.strip()]):
            pages += _pages(name, rows, rejected)
        else:
            others += 1
    if not pages:
        raise SourceError(
            f"{tree.root}: expected a list such as wider_face_train_bbx_gt.txt with a picture, the "
            "number of its faces, and a line 'x y width height ...' each; found none"
        )
    label = (options.labels or (FACE,))[0]
    pages = [page._replace(shapes=tuple(s._replace(name=label) for s in page.shapes))
             for page in pages]  # fmt: skip
    notes = [f"{others} text files are no lists of faces, and are not used"] if others else []
    return annotated.listing(tree, pages, options, names=(FACE,), rejected=rejected, notes=notes)


def _names(tree: files.Tree) -> list[str]:
    return [n for n in tree.names if n.lower().endswith(".txt") and "/." not in n]


def _begins(rows: list[str]) -> bool:
    return (
        len(rows) > 2
        and files.names_picture(rows[0].strip())
        and rows[1].strip().isdecimal()
        and len(rows[2].split()) in (4, 10)
        and None not in map(finite, rows[2].split())
    )


def _pages(name: str, rows: list[str], rejected: list) -> list[Page]:
    """Of one list; a block with a fault is rejected, and reading goes on at the next picture."""
    split = layout.split_in(posixpath.splitext(posixpath.basename(name))[0])
    starts = [i for i, row in enumerate(rows) if files.names_picture(row.strip())]
    pages = []
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        picture = rows[start].strip()
        block = [row.split() for row in rows[start + 1 : end] if row.strip()]
        count = block[0][0] if block and len(block[0]) == 1 else ""
        faces = [list(map(finite, row)) for row in block[1:]]
        sound = all(len(face) in (4, 10) and None not in face for face in faces)
        none = count == "0" and (not faces or (len(faces) == 1 and not any(faces[0])))
        if not sound or not (none or (count.isdecimal() and count == str(len(faces)))):
            detail = f"{name} line {start + 1}: expected {count or 'a number of'} faces after it"
            rejected.append((picture, "corrupt_annotation", detail))
            continue
        shapes = [
            Shape(FACE, annotated.from_corner(face[:4]), difficult=len(face) == 10 and face[7] > 0)
            for face in ([] if none else faces)
        ]
        pages.append(Page(picture, name, tuple(shapes), split=split))
    return pages
