"""What formats have in common that list the objects of each picture outright.

Such a reader finds `Entry`s in its annotation files; `listing` makes a Listing of them and `read`
a Sample. Pictures are found as a table's are (csv_table.Index): by the path that is stated, or by
its end, or by a name that only one picture has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from convoy.data import masks
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects, sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore
from convoy.data.sources.csv_table import Index
from convoy.data.sources.layout import pictures, split_of
from convoy.data.sources.split import hashed_split
from convoy.data.sources.voc_layout import decoded

Box = tuple[float, float, float, float]  # ymin, xmin, ymax, xmax, continuous pixels


class Object(NamedTuple):
    name: str
    box: Box
    polygons: tuple[tuple[float, ...], ...] = ()  # [x0, y0, x1, y1, ...] each
    truncated: bool = False
    difficult: bool = False
    crowd: bool = False


class Entry(NamedTuple):
    """What an annotation file says of one picture."""

    picture: str  # as it is stated
    where: str  # the annotation file, with its line or item
    objects: tuple[Object, ...] = ()
    classes: tuple[str, ...] = ()  # of the picture as a whole, where nothing has objects
    size: tuple[float | None, float | None] = (None, None)  # height, width, as stated
    split: str | None = None


def finder(tree: files.Tree) -> Callable[[str, str, str | None], str | None]:
    """(what is stated, folder of the annotation, split) -> the picture's name below the root."""
    return Index(tree, pictures(tree)).find


def listing(
    tree: files.Tree,
    entries: Iterable[Entry],
    options: Options,
    *,
    rejected: Iterable[tuple[str, str, str]] = (),
    labels: tuple[str, ...] = (),
    notes: Iterable[str] = (),
) -> Listing:
    """labels: classes in the format's own order; empty = those found, sorted. SourceError."""
    find = finder(tree)
    chosen: dict[str, Entry] = {}
    rejected = list(rejected)
    for entry in entries:
        name = find(entry.picture, entry.where.rpartition("/")[0], entry.split)
        if name is None:
            detail = f"{entry.where}: {entry.picture!r} is no picture, or several"
            rejected.append((entry.picture or entry.where, "missing_image", detail))
        elif name in chosen:
            detail = f"{entry.where}: {chosen[name].where} is already of {name}"
            rejected.append((name, "duplicate_annotation", detail))
        else:
            chosen[name] = entry
    with_objects = any(entry.objects for entry in chosen.values())
    found = {item.name for entry in chosen.values() for item in entry.objects}
    if not with_objects:
        found = {name for entry in chosen.values() for name in entry.classes}
    names = options.labels or labels or tuple(sorted(found))
    if not names and not rejected:
        raise SourceError(f"{tree.root}: the annotations name no class")
    references = []
    for name, entry in chosen.items():
        split = entry.split or split_of(name) or hashed_split(name, options.holdout, options.seed)
        annotation = (entry.where, entry.size, entry.objects, entry.classes, with_objects)
        references.append(Reference(name, split, tree.where(name), annotation))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), names, tuple(sorted(rejected)), notes=tuple(notes))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects, or its classes. Raises BadSample."""
    where, size, listed, classes, with_objects = reference.annotation
    picture = images.load(reference.image, max_pixels)
    if not with_objects:
        place = {name: index for index, name in enumerate(labels)}
        for name in classes:
            if name not in place:
                warn("unknown_class", f"{where}: {name!r} is not among the labels")
        ids = sorted({place[name] for name in classes if name in place})
        return sample_of(reference, picture, labels=ids_of(ids))
    objects = Objects(reference, picture, labels, warn, size=size, where=where)
    masked = any(item.polygons for item in listed)
    for item in listed:
        mask = None
        if masked:
            top, left, bottom, right = item.box
            rectangle = (left, top, right, top, right, bottom, left, bottom)
            try:
                mask = masks.of_polygons(
                    item.polygons or (rectangle,), int(objects.height), int(objects.width)
                )
            except ValueError as error:
                raise BadSample("corrupt_annotation", f"{where}: {item.name}: {error}") from None
        objects.add(
            item.name,
            item.box,
            mask=mask,
            truncated=item.truncated,
            difficult=item.difficult,
            crowd=item.crowd,
        )
    return objects.sample()


def ids_of(ids: list[int]):
    import numpy as np

    return np.array(ids, np.int64)


def text_of(tree: files.Tree, name: str) -> str:
    """An annotation file's text. Raises BadSample."""
    try:
        return decoded(files.read(tree.where(name)))
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadSample("corrupt_annotation", f"{name}: damaged text: {error}") from None


def json_of(tree: files.Tree, name: str) -> Any:
    """An annotation file's JSON. Raises BadSample."""
    try:
        return json.loads(text_of(tree, name))
    except (ValueError, RecursionError) as error:
        raise BadSample("corrupt_annotation", f"{name}: not JSON: {error}") from None


def polygon(where: str, name: str, points, **flags) -> Object:
    """An object of one polygon [x0, y0, ...]. Raises BadSample."""
    points = numbers(where, points)
    if len(points) < 6 or len(points) % 2:
        raise BadSample(
            "corrupt_annotation", f"{where}: {name}: a polygon of {len(points)} numbers"
        )
    return Object(name, masks.bounds([points]), (tuple(points),), **flags)


def numbers(where: str, values) -> list[float]:
    """Floats of a list, of numbers or their texts. Raises BadSample."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        found = [float("nan")]
    if not all(abs(value) < 1e9 for value in found):
        raise BadSample("corrupt_annotation", f"{where}: expected numbers, got {str(values)[:80]}")
    return found
