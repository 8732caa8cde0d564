"""Open Images as OIDv4's ToolKit downloads it: Dataset/train/CLASS/*.jpg with CLASS/Label/*.txt.

A line is the class, which may have blanks, then left top right bottom in continuous pixels. The
same picture may lie in the folders of several classes; each copy has the boxes of its class.

Layout: https://github.com/EscVM/OIDv4_ToolKit
"""

from __future__ import annotations

import posixpath

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, annotated
from convoy.data.sources.annotated import Page, Shape, read
from convoy.data.sources.number import finite

__all__ = ["detect", "read", "scan"]


def detect(tree: files.Tree) -> bool:
    """A .txt of such lines in a folder Label below a folder of pictures."""
    return annotated.any_lines(tree, _names(tree), _row)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every label file. Raises SourceError."""
    tree = files.tree(path)
    stems = annotated.Stems(tree)
    names = _names(tree)
    if not names:
        raise SourceError(f"{tree.root}: expected CLASS/Label/*.txt beside CLASS/*.jpg, found none")
    pages, rejected = [], []
    for name in names:
        folder, base = posixpath.split(name)
        stem = posixpath.join(posixpath.dirname(folder), posixpath.splitext(base)[0])
        picture, unclear = annotated.one_of(stems, [[stem]], name)
        rejected += unclear
        if unclear:
            tree.where(name)  # it is used: it tells what is rejected
            continue
        picture = picture or f"{stem}.jpg"
        try:
            pages.append(Page(picture, name, _shapes(tree, name), found=True))
        except BadSample as error:
            rejected.append((picture, error.reason, error.detail))
    return annotated.listing(tree, pages, options, rejected=rejected)


def _names(tree: files.Tree) -> list[str]:
    names = (n for n in tree.names if n.lower().endswith(".txt"))
    return [n for n in names if posixpath.basename(posixpath.dirname(n)) == "Label"]


def _shapes(tree: files.Tree, name: str) -> tuple[Shape, ...]:
    shapes = []
    for number, line in enumerate(annotated.lines(tree, name), start=1):
        if line.strip():
            shape = _row(line)
            if shape is None:
                detail = (
                    f"{name} line {number}: expected a class and four numbers, got {line[:80]!r}"
                )
                raise BadSample("corrupt_annotation", detail)
            shapes.append(shape)
    return tuple(shapes)


def _row(line: str) -> Shape | None:
    words = line.split()
    values = list(map(finite, words[-4:]))
    name = annotated.text(" ".join(words[:-4]))
    if len(values) != 4 or None in values or not name or finite(name) is not None:
        return None
    left, top, right, bottom = values
    return Shape(name, (top, left, bottom, right))
