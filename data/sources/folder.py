"""Pictures in one folder a class.

Layouts: `path/train/<class>/**` with `path/val/<class>/**` and so on, or `path/<class>/**` alone,
then split by a hash of the source_id. Pictures may lie deeper (`train/<wnid>/images/*.JPEG`).
Files that are no pictures (LICENSE, *.txt) are passed over.
"""

from __future__ import annotations

import os

import numpy as np

from data import images
from data.sample import Listing, Reference, Sample
from data.sources import SourceError, ignore
from data.sources.split import hashed_split, is_picture

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def scan(path, *, labels=(), holdout: float = 0.2, seed: int = 0) -> Listing:
    """Lists every picture below a class folder. Raises SourceError."""
    path = os.path.normpath(os.fspath(path))
    if not os.path.isdir(path):
        raise SourceError(f"{path}: no such folder")
    tops = {name: SPLITS[name.lower()] for name in _folders(path) if name.lower() in SPLITS}
    roots = [(split, os.path.join(path, name)) for name, split in tops.items()]
    found = []  # (split or None, class, path of the picture)
    for split, root in roots or [(None, path)]:
        for name in _folders(root):
            found += [(split, name, file) for file in _pictures(os.path.join(root, name))]
    if not found:
        raise SourceError(
            f"{path}: expected pictures as {path}/CLASS/*.jpg or {path}/train/CLASS/*.jpg, "
            "found none"
        )
    names = tuple(labels) or tuple(sorted({name for _, name, _ in found}))
    known, references, rejected = set(names), [], []
    for split, name, file in found:
        source_id = os.path.relpath(file, path).replace(os.sep, "/")
        if name not in known:
            detail = f"{file}: class folder {name!r} is not among the labels given"
            rejected.append((source_id, "unknown_class", detail))
            continue
        split = split or hashed_split(source_id, holdout, seed)
        references.append(Reference(source_id, split, file, name))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), names, tuple(sorted(rejected)))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its class. Raises BadSample."""
    picture = images.load(reference.image, max_pixels)
    return Sample(
        source_id=reference.source_id,
        split=reference.split,
        image=picture.image,
        height=picture.height,
        width=picture.width,
        labels=np.array([list(labels).index(reference.annotation)], np.int64),
    )


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _pictures(path: str) -> list[str]:
    return [
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if is_picture(name)
    ]
