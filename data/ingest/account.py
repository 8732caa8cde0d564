"""One sum over a data set: pictures found = in records + rejected + told.

The sum is made of what was written: the ids in the finished shards and the rejected rows. A picture
that none of the three accounts for is a fault of the ingest, not of the data, and fails it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convoy.data.files import files
from convoy.data.ingest.shards import IngestError
from convoy.data.sample import Listing, Reference, Told
from convoy.data.sources import leftover, second

# Reasons of warnings that are choices: what was taken where a data set can be read in two ways.
CHOICES = {
    "frame_upright": "labelled in the picture as EXIF turns it",
    "frame_stored": "labelled in the picture as it is stored, before EXIF turns it",
    "swapped_corners": "boxes whose corners are in another order: taken as the same box",
    "scaled_boxes": "annotated in another size of equal sides: scaled to the picture",
}


# Reasons of warnings after which the object is still there, or was never one; others lose it.
CHANGES = {
    "clipped_box": "boxes reach outside their picture, and are cut at its border",
    "swapped_corners": "boxes name their corners in another order; put in order",
    "scaled_boxes": "pictures are annotated in another size, and their boxes scaled",
    "frame_upright": "pictures are turned by EXIF; taken as labelled upright",
    "frame_stored": "pictures are turned by EXIF; taken as labelled as they are stored",
    "ignored_region": "regions are marked to be ignored",
    "sixth_number": "label files have a sixth number, a score or a track, which is not used",
    "index_column": "tables have a first column that counts their lines; it is not used",
    "bad_keypoints": "objects have keypoints that cannot be read",
    "outside_keypoints": "objects have keypoints outside their picture, which are not learnt",
    "bad_caption": "captions cannot be read",
    "upper_bits": "pictures have 16 bits, of which the upper 8 are kept",
    "eight_bits": "pictures have 8 bits, and are widened to 16",
    "dropped_channel": "pictures have a fourth channel, which is left out",
    "first_frame": "files hold several pictures, of which the first is taken",
    "bad_frame": "frames of films cannot be read; the picture beside them stands for them",
    "frame_size": "frames of films have another size; the picture beside them stands for them",
    "made_smaller": "pictures are larger than ingest.max_side, and made smaller with their labels",
    "kept_large": "pictures are larger than ingest.max_side, and stay so: they are pairs or films",
    "not_aligned": "frames of films have too little in common with the picture beside them to be "
    "laid onto it",
}


@dataclasses.dataclass
class Account:
    """The pictures of a data set and which references need them; made before anything is read."""

    pictures: dict[str, tuple[int, ...]]  # name -> numbers of the references that it is a part of
    rejected: set[str]  # pictures that the reader's listing rejects
    references: Sequence[Reference]
    unused: tuple[Told, ...]  # what is no picture
    ambiguous: tuple[Told, ...] = ()  # what could be read in another way, beside the listing's


def opened(tree: files.Tree | None, listing: Listing, format_name: str, found: bool) -> Account:
    """Whose is which picture of a data set. Raises SourceError where annotations would be lost.

    tree: None = the reader has no files of its own. found: whether the format was found, so that
    nobody said that it is the one.
    """
    if tree is None:
        return Account({}, set(), listing.references, listing.unused)
    names = [name for name in tree.names if tree.is_picture(name, hidden=True)]
    at: dict[files.Where, str] = {}
    also: dict[files.Where, list[str]] = {}  # further names of one place
    for name in tree.names:
        if at.setdefault(place := tree.place(name), name) != name:
            also.setdefault(place, []).append(name)
    pictures: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
    claimed: set[str] = set()
    for number, reference in enumerate(listing.references):
        parts = (reference.image, reference.annotation)
        wanted = [where for where in files.places(parts) if where in at]
        for name in {n for where in wanted for n in (at[where], *also.get(where, ()))}:
            if name in pictures:
                pictures[name] += (number,)
            else:
                claimed.add(name)
    del at
    rejected = {row[0] for row in listing.rejected} & pictures.keys()
    left = leftover.unused_files(tree, claimed)
    twice: list[Told] = []
    if found:
        leftover.check(tree, format_name, left)
        twice = second.look(tree, format_name, listing, left, claimed)
    unused = (*listing.unused, *leftover.told_files(tree, left), *leftover.told_empty(tree))
    return Account(pictures, rejected, listing.references, unused, tuple(twice))


def closed(
    account: Account,
    chosen: Iterable[str],
    counts: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, int], tuple[Told, ...]]:
    """(counts of pictures, all that is not used). Raises IngestError where the sum is not even.

    chosen: splits that were asked for; counts: of each shard that was written.
    """
    chosen = set(chosen)
    written = {(count["split"], name) for count in counts for name in count["source_ids"]}
    refused = {(count["split"], row[0]) for count in counts for row in count["rejected"]}
    keys = [(reference.split, reference.source_id) for reference in account.references]
    lost = [key for key in keys if key[0] in chosen and (key in written) + (key in refused) != 1]
    if lost:
        raise IngestError(
            f"{len(lost)} samples are neither in a record nor rejected, or both, such as "
            f"{lost[0][1]!r} of split {lost[0][0]!r}; this is a fault of the ingest, please report "
            "it"
        )
    state: dict[str, list[str]] = {"in_records": [], "rejected": [], "other": [], "unused": []}
    for name, numbers in account.pictures.items():
        own = {keys[number] for number in numbers}
        if own & written:
            state["in_records"].append(name)
        elif own & refused or name in account.rejected:
            state["rejected"].append(name)
        else:
            state["other" if own else "unused"].append(name)
    splits = ", ".join(sorted(chosen))
    told = (
        *leftover.told_pictures(state["unused"], "no sample of this format uses it"),
        *leftover.told_pictures(state["other"], f"of a split that is not asked for ({splits})"),
    )
    parts = {name: len(state[name]) for name in ("in_records", "rejected")}
    parts["unused"] = sum(group.count for group in told)
    if sum(parts.values()) != len(account.pictures):
        raise IngestError(
            f"{len(account.pictures)} pictures were found, but {parts} are accounted for; this is "
            "a fault of the ingest, please report it"
        )
    return {"found": len(account.pictures), **parts}, (*told, *account.unused)


def backgrounds(counts: Iterable[Mapping[str, Any]], wanted: Sequence[str]) -> tuple[Told, ...]:
    """Pictures of which an object was left out: what shows it is learnt as background.

    wanted: data.labels; where it names some classes, objects of others are left out on purpose.
    """
    fine = {*CHANGES, *(("unknown_class",) if wanted else ())}
    samples = empty = 0
    why: dict[str, None] = {}
    ids: list[str] = []
    for count in counts:
        for key, (number, bare) in count["touched"].items():
            if lost := [reason for reason in key.split("+") if reason not in fine]:
                samples, empty = samples + number, empty + bare
                why |= dict.fromkeys(lost)
                ids += count["touched_ids"][key]
    if not samples:
        return ()
    text = f"an object was left out ({', '.join(sorted(why))}): its place is learnt as background"
    text += f"; {empty} of them have no object left" if empty else ""
    return (Told("pictures", samples, text, tuple(ids[: leftover.EXAMPLES])),)


def choices(warned: dict[str, int], warnings: Iterable[Sequence[str]]) -> tuple[Told, ...]:
    """What readers took where a sample can be read in two ways: out of their warnings."""
    rows = list(warnings)
    return tuple(
        Told(
            "samples",
            warned[reason],
            CHOICES[reason],
            tuple(row[0] for row in rows if row[1] == reason)[: leftover.EXAMPLES],
        )
        for reason in CHOICES
        if warned.get(reason)
    )


def check_objects(
    splits: Iterable[Mapping[str, Any]],
    warned: Mapping[str, int],
    warnings: Sequence[Sequence[str]],
) -> None:
    """Raises IngestError where there are objects, and every one of them is left out.

    splits: of the manifest; warnings: rows of source_id, reason, detail. One object is never fatal.
    """
    lost = {reason: count for reason, count in warned.items() if reason not in CHANGES}
    kept = any(split["objects"] or any(split["images_by_class"].values()) for split in splits)
    if kept or sum(lost.values()) < 2:
        return
    listed = ", ".join(f"{reason} ({count})" for reason, count in lost.items())
    example = next((f"{row[0]}: {row[2]}" for row in warnings if row[1] in lost), "")
    raise IngestError(
        f"no object can be used, of {sum(lost.values())} that are annotated: {listed}. For example "
        f"{example}. Repair the annotations, or the names of the classes"
    )
