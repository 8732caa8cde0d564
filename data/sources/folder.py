"""Pictures in one folder a class.

Layouts: `path/train/<class>/**` with `path/val/<class>/**` and so on, or `path/<class>/**` alone,
then split by a hash of the source_id. Pictures may lie deeper (`train/<wnid>/images/*.JPEG`).
Files that are no pictures (LICENSE, *.txt) are passed over.
"""

from __future__ import annotations

import numpy as np

from data import files, images
from data.objects import sample_of
from data.sample import Listing, Reference, Sample
from data.sources import Options, SourceError, ignore
from data.sources.split import SPLITS, hashed_split


def detect(tree: files.Tree) -> bool:
    """At least two folders of pictures, at the top or in each split."""
    return len({name for _, name, _ in _found(tree)}) > 1


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture below a class folder. Raises SourceError."""
    tree = files.tree(path)
    found = _found(tree)
    if not found:
        raise SourceError(
            f"{tree.root}: expected pictures as {tree.root}/CLASS/*.jpg or "
            f"{tree.root}/train/CLASS/*.jpg, found none"
        )
    names = options.labels or tuple(sorted({name for _, name, _ in found}))
    known, references, rejected = set(names), [], []
    for split, name, source_id in found:
        if name not in known:
            detail = f"{source_id}: class folder {name!r} is not among the labels given"
            rejected.append((source_id, "unknown_class", detail))
            continue
        split = split or hashed_split(source_id, options.holdout, options.seed)
        references.append(Reference(source_id, split, tree.where(source_id), name))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), names, tuple(sorted(rejected)))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its class. Raises BadSample."""
    picture = images.load(reference.image, max_pixels)
    label = np.array([list(labels).index(reference.annotation)], np.int64)
    return sample_of(reference, picture, labels=label)


def _found(tree: files.Tree) -> list[tuple[str | None, str, str]]:
    """(split or None, class, name of the picture) of every picture below a class folder."""
    splits = any(name.lower() in SPLITS for name in tree.folders())
    found = []
    for name in tree.names:
        *folders, _ = name.split("/")
        if not files.is_picture(name) or any(folder.startswith(".") for folder in folders):
            continue
        if not splits and folders:
            found.append((None, folders[0], name))
        elif len(folders) > 1 and folders[0].lower() in SPLITS:
            found.append((SPLITS[folders[0].lower()], folders[1], name))
    return found
