"""Pictures in one folder per class, see data/sources/class_folders.py."""

from __future__ import annotations

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import Listing, Reference, Sample, Told
from convoy.data.sources import Options, SourceError, class_folders, ignore
from convoy.data.sources.layout import pictures
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


def _labelled(tree: files.Tree) -> list[class_folders.Row]:
    return class_folders.labelled(pictures(tree))
