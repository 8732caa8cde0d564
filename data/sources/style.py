"""Style transfer: pictures of content and pictures of style, in folders of these names.

`content/` and `style/` (or `contents`, `content_images`, `styles`, ...), below or above folders of
splits; else split by a hash of the source_id. The classes of the pictures are "content", "style".
"""

from __future__ import annotations

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, layout
from convoy.data.sources.split import hashed_split

LABELS = ("content", "style")
WORDS = layout.roles(content="content|contents", style="style|styles")


def detect(tree: files.Tree) -> bool:
    """Pictures in folders of both kinds, and in no others."""
    return {layout.place(name, WORDS).role for name in layout.pictures(tree)} == {*LABELS}


def scan(path, options: Options = Options()) -> Listing:
    """Lists both kinds; other pictures are rejected. Raises SourceError."""
    tree = files.tree(path)
    references, rejected = [], []
    for name in layout.pictures(tree):
        at = layout.place(name, WORDS)
        if not at.role:
            rejected.append((name, "unknown_class", f"{name}: below neither content nor style"))
            continue
        split = at.split or hashed_split(name, options.holdout, options.seed)
        references.append(Reference(name, split, tree.where(name), at.role))
    missing = [role for role in LABELS if role not in {r.annotation for r in references}]
    if missing:
        raise SourceError(
            f"{tree.root}: expected pictures in {tree.root}/content and {tree.root}/style, found "
            f"none of {' and '.join(missing)}"
        )
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), LABELS, tuple(rejected))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its kind. Raises BadSample."""
    label = np.array([LABELS.index(reference.annotation)], np.int64)
    return sample_of(reference, images.load(reference.image, max_pixels), labels=label)
