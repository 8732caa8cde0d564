"""A set that two kinds of annotation files describe: which was taken, and whether that matters.

The files that the first reader leaves over are shown to the others, together with the pictures.
Where one of them reads pictures that have been read, both are named; where the classes differ, so
that nobody can know which are meant, the set is refused until the format is said.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from convoy.data.files import files
from convoy.data.sample import Listing, Reference, Told
from convoy.data.sources import SOURCES, SourceError, layout, leftover, source

# Readers of files that annotate pictures, one by one or all together.
ANNOTATED = (
    "voc",
    "coco",
    "cvat",
    "createml",
    "datumaro",
    "supervisely",
    "label_studio",
    "via3",
    "huggingface",
    "kitti",
    "oidv4",
    "wider_face",
    "yolo",
    "labelme",
    "via",
    "csv",
)


def look(
    tree: files.Tree, format_name: str, listing: Listing, left: Sequence[str], claimed: set[str]
) -> list[Told]:
    """What is told of a second reading. Raises SourceError where it gives other classes.

    left: files that the reader of `format_name`, whose format was found and not said, left over;
    claimed: files that its references need, pictures left out.
    """
    pictures = layout.pictures(tree)
    if format_name not in ANNOTATED or not leftover.annotations(tree, left, pictures):
        return []
    rest = tree.only(name for name in tree.names if name not in claimed)
    for name in SOURCES:
        if name not in ANNOTATED or name == format_name or not source(name).detect(rest):
            continue
        rest.forget()
        try:
            other = source(name).scan(rest)
        except SourceError:  # it looks like this format, and is none
            continue
        read = {reference.image for reference in listing.references}
        there = {rest.place(n) for n in rest.names}
        both = sorted(
            r.source_id
            for r in other.references
            if r.image in read and r.annotation and _annotated(r, rest.root, there)
        )
        used = [n for n in left if n in rest.opened and n not in rest.passed_over]
        if both and used:
            return [_told(tree, (format_name, listing.labels), (name, other.labels), both, used)]
    return []


def _annotated(reference: Reference, root: str, there: set) -> bool:
    """Whether a file that an annotation is read of is there, where it names any."""
    own = {place for place in files.places(reference.annotation) if place != reference.image}
    own = {place for place in own if files.path_of(place).startswith(f"{root}{os.sep}")}
    return not own or bool(own & there)


def _told(tree, first, second, both: list[str], used: list[str]) -> Told:
    (taken, labels), (name, others) = first, second
    unnamed = all(label.isdigit() for label in others)  # numbers of classes that nothing names
    if not unnamed and not (set(labels) <= set(others) or set(others) <= set(labels)):
        raise SourceError(
            f"{tree.root}: {len(both)} pictures, such as {both[0]}, are annotated twice, with "
            f"different classes: as {taken} ({_some(labels)}) and, by {len(used)} files such as "
            f"{used[0]}, as {name} ({_some(others)}). Say which is meant: --format {taken} or "
            f"--format {name}, data.format in a recipe, or take the other files out"
        )
    why = (
        f"{len(both)} pictures are annotated twice: taken as {taken}, these files, {name}, are not"
    )
    return Told("annotation files", len(used), why, tuple(used[:3]))


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:4]) + (", ..." if len(labels) > 4 else "")
