"""Pictures in one folder per class.

Layouts: `path/train/<class>/**` with `path/val/<class>/**` and so on, or `path/<class>/**` alone,
then split by a hash of the source_id; also below one folder that holds everything, as archives have
it. Pictures may lie deeper (`train/<wnid>/images/*.JPEG`). Folders of splits are called train, val,
test, ..., or have such a word in their names (`seg_train`, `training_set`), of which there are then
two and more, and may hold a single folder of the same name.

A class may be called train, too. Folders are splits where they hold folders of classes; beside
folders with other names they are classes if they hold none, or if there is one such name, and two
other folders or more, that hold the same folders as it does.
"""

from __future__ import annotations

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import Listing, Reference, Sample, Told
from convoy.data.sources import Options, SourceError, ignore
from convoy.data.sources.layout import pictures, split_of
from convoy.data.sources.split import SPLITS, hashed_split

_WHY = "the folders beside them are no splits, and none of them holds folders of classes"


def detect(tree: files.Tree) -> bool:
    """At least two folders of pictures, at the top or in each split, that hold most pictures."""
    rows = _labelled(tree)
    return len({name for _, name, _ in rows}) > 1 and 2 * len(rows) > len(pictures(tree))


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture below a class folder. Raises SourceError."""
    tree = files.tree(path)
    rows = _labelled(tree)
    unused = len(pictures(tree)) - len(rows)
    if not rows:
        raise SourceError(
            f"{tree.root}: expected pictures as {tree.root}/CLASS/*.jpg or "
            f"{tree.root}/train/CLASS/*.jpg, found none"
        )
    names = options.labels or tuple(sorted({name for _, name, _ in rows}))
    classes, references, rejected = set(names), [], []
    for split, name, source_id in rows:
        if name not in classes:
            detail = f"{source_id}: class folder {name!r} is not among the labels given"
            rejected.append((source_id, "unknown_class", detail))
            continue
        split = split or hashed_split(source_id, options.holdout, options.seed)
        references.append(Reference(source_id, split, tree.where(source_id), name))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    notes = (f"{unused} pictures are in no class folder, and are not used",) if unused else ()
    split_like = tuple(sorted({n for split, n, _ in rows if split is None and n.lower() in SPLITS}))
    told = Told("folders", len(split_like), "taken as classes, not as splits: " + _WHY, split_like)
    ambiguous = (told,) if split_like else ()
    return Listing(
        tuple(references), names, tuple(sorted(rejected)), notes=notes, ambiguous=ambiguous
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its class. Raises BadSample."""
    picture = images.load(reference.image, max_pixels)
    label = np.array([list(labels).index(reference.annotation)], np.int64)
    return sample_of(reference, picture, labels=label)


def _labelled(tree: files.Tree) -> list[tuple[str | None, str, str]]:
    """(split or None, class, name of the picture) of every picture below a class folder."""
    rows = [(name.split("/")[:-1], name) for name in pictures(tree)]
    rows = [(folders, name) for folders, name in rows if folders]
    rows = _unwrapped(rows)
    splits = _splits(rows)
    if splits is None:
        return [(None, folders[0], name) for folders, name in rows]
    below = [(splits[f[0]], f[0], f[1:], name) for f, name in rows if f[0] in splits and f[1:]]
    only = {top: {f[0] for _, t, f, _ in below if t == top} for top in splits}
    labelled = []
    for split, top, folders, name in below:
        repeated = only[top] == {top} and len(folders) > 1
        labelled.append((split, folders[1 if repeated else 0], name))
    return labelled


def _unwrapped(rows: list[tuple[list[str], str]]) -> list[tuple[list[str], str]]:
    """Without the folders that hold everything, unless that leaves no two classes."""
    inside = rows
    while len({folders[0] for folders, _ in inside}) == 1 and _splits(inside) is None:
        inside = [(folders[1:], name) for folders, name in inside]
        if not all(folders for folders, _ in inside):
            return rows
    return inside


def _splits(rows: list[tuple[list[str], str]]) -> dict[str, str] | None:
    """Top folder -> its split; None where the top folders are classes."""
    inside: dict[str, set[str]] = {}  # top folder -> folders with pictures in it
    for folders, _ in rows:
        inside.setdefault(folders[0], set()).update(folders[1:2])
    split_by_top = {top: SPLITS[top.lower()] for top in inside if top.lower() in SPLITS}
    if not split_by_top:
        split_by_top = {top: split for top in inside if (split := split_of(f"{top}/"))}
        if len(set(split_by_top.values())) < 2:
            return None
    others = inside.keys() - split_by_top.keys()
    if not any(inside[top] for top in split_by_top):
        return None if others else split_by_top
    of_others = set().union(*(inside[top] for top in others))
    if len(split_by_top) == 1 and len(others) > 1:
        (only,) = split_by_top
        return None if inside[only] <= of_others else split_by_top
    return split_by_top
