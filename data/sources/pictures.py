"""Pictures without annotation, in one folder or deeper, for what learns without labels.

Splits are folders (`train`, `test/a`), or else a hash of the source_id. No picture has a class;
as a label map must name one, that is "picture", unless the labels are given.
"""

from __future__ import annotations

import re

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, layout
from convoy.data.sources.split import hashed_split

LABELS = ("picture",)
_NOTES = re.compile("json|jsonl|xml|csv|tsv|mat|npy|npz|pkl|h5|yaml|yml|names|tfrecord|parquet")


def detect(tree: files.Tree) -> bool:
    """Pictures, and no file that may annotate them. The last reader to be asked."""
    pictures = layout.pictures(tree)
    stems = {name.rpartition(".")[0] for name in pictures}
    others = (name for name in tree.names if not tree.is_picture(name))
    split = ((stem, ending.lower()) for stem, _, ending in (n.rpartition(".") for n in others))
    return bool(pictures) and not any(
        _NOTES.fullmatch(ending) or (ending == "txt" and stem in stems) for stem, ending in split
    )


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture. Raises SourceError."""
    return listed(files.tree(path), options)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture. Raises BadSample."""
    return sample_of(reference, images.load(reference.image, max_pixels))


def listed(tree: files.Tree, options: Options, annotation=None) -> Listing:
    """Every picture of a data set, with the same annotation. Raises SourceError."""
    names = layout.pictures(tree)
    if not names:
        raise SourceError(
            f"{tree.root}: expected pictures ({', '.join((*files.PICTURES, files.ARRAY))}), found "
            f"none among {len(tree.names)} files"
        )
    references = [
        Reference(
            name,
            layout.split_of(name) or hashed_split(name, options.holdout, options.seed),
            tree.where(name),
            annotation,
        )
        for name in names
    ]
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    splits = sorted({split for name in names if (split := layout.split_of(name))})
    note = f"{len(names)} pictures without a class or any annotation"
    if splits:
        note += f": {', '.join(splits)} are taken as splits, and hold no folders of classes"
    return Listing(tuple(references), options.labels or LABELS, notes=() if annotation else (note,))
