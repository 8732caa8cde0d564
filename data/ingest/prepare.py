"""What becomes of a reader's listing before anything is written.

* Samples of classes that `data.labels` leaves out are counted, not rejected.
* Where the data set brings no splits, so that a hash of the ids made "train" and "val": pictures of
  the same bytes stay in one split, and the splits get the names that the recipe asks for.
* `data.exif` is noted in each reference.
* Names of classes that no file could hold are refused, with a file that has them.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convoy.data import labels as label_map
from convoy.data.files import files
from convoy.data.sample import Listing, Reference, Told
from convoy.data.sources import Options, SourceError
from convoy.data.sources.split import hashed_split

_TAIL = 1024  # bytes at the end of a picture, which tell most pictures of one size apart


def prepared(
    listing: Listing, options: Options, exif: str, train: str, splits: Sequence[str], where: str
) -> Listing:
    """The listing to write. Raises SourceError.

    exif: of the recipe; train: its training split; splits: all that it names, () = those there are.
    """
    check_names(listing, where)
    if not options.labels:
        listing = dataclasses.replace(listing, ambiguous=(*listing.ambiguous, *_twins(listing)))
    listing = _without_other_classes(listing, options)
    if _is_hashed(listing.references, options):
        listing = _together(listing)
        listing = _renamed(listing, train, splits)
    if exif != "auto":
        framed = (dataclasses.replace(r, frame=exif) for r in listing.references)
        listing = dataclasses.replace(listing, references=tuple(framed))
    return listing


def check_names(listing: Listing, where: str) -> None:
    """Raises SourceError for names of classes that are no line of text in UTF-8, or repeated."""
    for what, names in (
        ("classes", listing.labels),
        ("classes of pixels", listing.segmentation_labels),
    ):
        if what != "classes" and not names:
            continue
        for name in names:
            if not _is_utf8(name):
                raise SourceError(_message(listing, where, what, name, "is not UTF-8"))
            if len(name.splitlines()) > 1:
                raise SourceError(_message(listing, where, what, name, "has a line break"))
        try:
            label_map.check(names, f"{what} of {where}")
        except ValueError as error:
            raise SourceError(str(error)) from None


def _twins(listing: Listing) -> tuple[Told, ...]:
    """Classes whose names look alike: by case, blanks, or how Unicode composes an accent."""
    alike = collections.defaultdict(list)
    for name in listing.labels:
        alike["".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    names = tuple(name for group in alike.values() if len(group) > 1 for name in group)
    why = "differ in case, blanks or the form of accents alone: taken as classes of their own"
    return (Told("classes", len(names), why, names[:20]),) if names else ()


def _message(listing: Listing, where: str, what: str, name: str, fault: str) -> str:
    holder = next((r.source_id for r in listing.references if _holds(r, name)), "")
    holder = holder or next((f for r in listing.references for f in _saying(r, name)), "")
    file = f" of {holder!r}" if holder else ""
    return (
        f"{where}: {what}: the name {name!r}{file} {fault}; expected one line of text in UTF-8. "
        "Rename it in the data set"
    )


def _holds(reference: Reference, name: str) -> bool:
    folders = reference.source_id.split("/")[:-1]
    return name in folders or name in set(files.places(reference.annotation))


def _saying(reference: Reference, name: str) -> Iterator[str]:
    """The annotation files of a reference that have this name, as XML or as JSON write it."""
    spelt = {name.encode("utf-8", "surrogateescape"), json.dumps(name)[1:-1].encode()}
    for where in files.places(reference.annotation):
        try:
            data = files.read(where) if not isinstance(where, str) or "/" in where else b""
        except OSError:
            continue
        if any(text in data for text in spelt):
            yield files.path_of(where)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_other_classes(listing: Listing, options: Options) -> Listing:
    if not options.labels:
        return listing
    others = [row for row in listing.rejected if row[1] == "unknown_class"]
    if not others:
        return listing
    told = Told(
        "samples",
        len(others),
        "left out: of classes that data.labels does not name",
        tuple(row[0] for row in others[:3]),
    )
    rest = tuple(row for row in listing.rejected if row[1] != "unknown_class")
    return dataclasses.replace(listing, rejected=rest, unused=(*listing.unused, told))


def unseen(counts: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[Told, ...]:
    """Names that the recipe gives, and no record of these shards has: a slip, perhaps."""
    seen = {name for count in counts for name, n in count["images_by_class"].items() if n}
    lost = tuple(name for name in names if name not in seen)
    classes = seen or any(count["warned"].get("unknown_class") for count in counts)
    told = Told("names of data.labels", len(lost), "no record has them", lost[:20])
    return (told,) if lost and classes else ()


def _is_hashed(references: Sequence[Reference], options: Options) -> bool:
    return bool(references) and all(
        r.split == hashed_split(r.source_id, options.holdout, options.seed) for r in references
    )


def _renamed(listing: Listing, train: str, splits: Sequence[str]) -> Listing:
    """train and val of the hash as the recipe calls them, where it has other names for the two."""
    others = [name for name in splits if name != train]
    if not splits or len(others) > 1 or {"train", "val"} >= {*splits}:
        return listing
    names = {"train": train, "val": others[0] if others else "val"}
    references = [dataclasses.replace(r, split=names[r.split]) for r in listing.references]
    references.sort(key=lambda r: (r.split, r.source_id))
    why = "the data set brings none: by a hash of the ids, called as the recipe does"
    told = Told("splits", len(names), why, tuple(names.values()))
    return dataclasses.replace(
        listing, references=tuple(references), ambiguous=(*listing.ambiguous, told)
    )


def _together(listing: Listing) -> Listing:
    """Equal pictures into the split of the first of them by id."""
    moved: dict[str, str] = {}
    for group in _equal(listing.references):
        first, *rest = sorted(group, key=lambda reference: reference.source_id)
        moved |= {r.source_id: first.split for r in rest if r.split != first.split}
    if not moved:
        return listing
    references = [
        dataclasses.replace(r, split=moved.get(r.source_id, r.split)) for r in listing.references
    ]
    references.sort(key=lambda r: (r.split, r.source_id))
    why = "have the bytes of others, and stay in the split of these, not in that of their own hash"
    told = Told("pictures", len(moved), why, tuple(sorted(moved)[:3]))
    return dataclasses.replace(
        listing, references=tuple(references), ambiguous=(*listing.ambiguous, told)
    )


def _equal(references: Sequence[Reference]) -> list[list[Reference]]:
    """Groups of equal pictures, by size, then by their ends, then by all of their bytes."""
    groups = [[r for r in references if r.image]]
    for key in (_size, _tail, _digest):
        narrowed = []
        for group in groups:
            alike = collections.defaultdict(list)
            for reference in group:
                alike[key(reference.image)].append(reference)
            narrowed += [own for own in alike.values() if len(own) > 1]
        groups = narrowed
    return groups


def _size(where: files.Where) -> int | tuple:
    return files.size(where) or ("none", where)


def _tail(where: files.Where) -> bytes | tuple:
    if not isinstance(where, str):
        return b""  # parts of archives are not read twice for their ends
    try:
        with open(where, "rb") as file:
            file.seek(-min(_TAIL, files.size(where)), 2)
            return file.read()
    except OSError:
        return "unreadable", where


def _digest(where: files.Where) -> bytes | tuple:
    try:
        return hashlib.sha256(files.read(where)).digest()
    except OSError:
        return "unreadable", where
