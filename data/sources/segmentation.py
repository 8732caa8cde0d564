"""Semantic segmentation: pictures with label pictures of the same name.

Layouts, by the words in names of folders (data/sources/layout.py): train/trainannot,
images/{train,val} with annotations/{train,val}, train/train_labels, images_prepped_train with
annotations_prepped_train, JPEGImages with SegmentationClass or SegmentationClassPNG,
leftImg8bit with gtFine, images with labels, masks or gt; and x.png beside x_L.png, x_mask.png or
x_label.png. Splits are folders, or lists (train.txt, ImageSets/Segmentation/val.txt) of ids, or of
a picture and its label picture a line, whose paths are followed by their tails; else a hash of
the source_id, which is the picture's name.

data/sources/classes.py says what the values of label pictures mean. Ignored pixels become 255 in
Sample.segmentation, all others the class; a value that is no class rejects its sample.
"""

from __future__ import annotations

import collections
import posixpath
import re

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, arrays_left, classes, ignore, layout
from convoy.data.sources.split import SPLITS, hashed_split

WORDS = layout.roles(
    label="annot|annots|annotation|annotations|label|labels|mask|masks|gt|gtfine|segmentation|"
    "segmentations|segmentationclass|segmentationclasspng|labelmap|labelmaps|groundtruth|semantic",
    image="image|images|img|imgs|jpegimages|pngimages|leftimg8bit|picture|pictures|rgb",
    other="segmentationobject|segmentationobjectpng|gtcoarse|instances",
)
_PICTURE_ENDING = re.compile(r"(?i)(.+)_(?:leftImg8bit|sat|image|img|rgb)")
_LABEL_ENDING = re.compile(
    r"(?i)(.+)_(?:L|mask|masks|label|labels|gt|seg|segmentation|annotation|gtFine_labelTrainIds|"
    r"gtFine_labelIds)"
)
_SKIPPED = re.compile(r"(?i).+_(?:color|instanceIds|instanceTrainIds|polygons|visualization|viz)")


def detect(tree: files.Tree) -> bool:
    """Label pictures, at least half of which have a picture.

    Raises SourceError where another folder may hold the labels, such as DRIVE's 1st_manual beside
    the masks of the field of view, or a second folder of label pictures.
    """
    if any(name.lower().endswith(".xml") for name in tree.names):
        return False
    pairs = _pairs(tree)
    _check_twice(tree, pairs)
    if not pairs.matched or len(pairs.matched) < len(pairs.seconds_alone):
        return False
    _check_other_labels(tree, pairs)
    return True


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pairs, and looks into some label pictures. Raises SourceError."""
    tree = files.tree(path)
    pairs = _pairs(tree)
    if not pairs.matched:
        raise SourceError(
            f"{tree.root}: expected pictures with label pictures of the same name, such as "
            f"{tree.root}/images/a.jpg with {tree.root}/labels/a.png; found "
            f"{len(layout.pictures(tree))} pictures and no such pair{arrays_left(tree)}"
        )
    arrays = [label for _, label, _ in pairs.matched if label.lower().endswith(files.ARRAY)]
    if arrays:
        raise SourceError(
            f"{tree.root}: {arrays[0]} is an array of NumPy, which is not read as a label picture; "
            "save label pictures as PNG, and arrays of pictures beside them as TIFF"
        )
    rejected, notes = _halves(pairs)
    listed, unlisted = _listed(tree, pairs)
    if listed:
        rejected = unlisted
        chosen = listed
    else:
        if unlisted:
            notes.append(f"lists name no picture that is there, such as {unlisted[0][2]}")
        chosen = [
            (split or hashed_split(name, options.holdout, options.seed), name, label)
            for name, label, split in pairs.matched
        ]
    meaning = classes.find(tree, [label for _, _, label in chosen], options)
    references = [
        Reference(name, split, tree.where(name), (tree.where(label), meaning.codes))
        for split, name, label in chosen
    ]
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(
        tuple(references),
        meaning.labels,
        tuple(sorted(rejected)),
        segmentation_labels=meaning.labels,
        notes=(*notes, *meaning.notes),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its classes, pixel by pixel. Raises BadSample."""
    where, codes = reference.annotation
    picture = images.load(reference.image, max_pixels)
    values = classes.read(where, codes, max_pixels)
    objects = Objects(reference, picture, labels, warn, size=values.shape, scalable=False)
    if values.shape != (objects.height, objects.width):
        raise BadSample(
            "bad_segmentation",
            f"{files.name_of(where)}: {values.shape[1]}x{values.shape[0]} pixels; expected the "
            f"picture's {objects.width}x{objects.height}",
        )
    present = np.unique(values)
    return objects.sample(
        segmentation=images.encode(objects.frame.raster(values)),
        labels=present[present != classes.IGNORE].astype(np.int64),
    )


def _pairs(tree: files.Tree) -> layout.Pairs:
    placed = ((name, layout.place(name, WORDS)) for name in layout.pictures(tree))
    names = [n for n, at in placed if at.role != "other" and not _SKIPPED.fullmatch(at.stem)]
    names.sort(key=lambda name: ("labelTrainIds" not in name, name))  # the first of two is taken
    pairs = layout.pairs(
        names,
        WORDS,
        ("image", "label"),
        first_ending=_PICTURE_ENDING,
        second_ending=_LABEL_ENDING,
    )
    stray = [row for row in pairs.seconds_alone if not row[0].endswith("_labelIds.png")]
    return pairs._replace(seconds_alone=stray)


def _check_other_labels(tree: files.Tree, pairs: layout.Pairs) -> None:
    by_folder = collections.Counter(
        posixpath.dirname(name)
        for name in layout.pictures(tree)
        if not layout.place(name, WORDS).role
    )
    firsts = {posixpath.dirname(first) for first, _, _ in pairs.matched}
    seconds = collections.Counter(posixpath.dirname(second) for _, second, _ in pairs.matched)
    said = any(layout.place(first, WORDS).role == "image" for first, _, _ in pairs.matched)
    for folder, count in sorted(by_folder.items()):
        beside = [s for s in seconds if posixpath.dirname(s) == posixpath.dirname(folder)]
        if said and folder not in firsts and beside and count >= seconds[beside[0]]:
            raise SourceError(
                f"{tree.root}: the label pictures may be those of {beside[0]} or those of "
                f"{folder or 'the top'}, {count} each: take one of the folders away, or say that "
                f"{beside[0]} is meant: --format segmentation, or data.format in a recipe"
            )


def _labelled(pairs: layout.Pairs) -> dict[tuple, tuple[str, str]]:
    """(split, name without folders and endings) -> (picture, its label picture)."""
    return {
        (split, layout.place(first, WORDS).stem): (first, second)
        for first, second, split in pairs.matched
    }


def _check_twice(tree: files.Tree, pairs: layout.Pairs) -> None:
    """Raises SourceError where a folder has a second label picture of half of the pictures."""
    labelled = _labelled(pairs)
    second_ones = collections.Counter(
        posixpath.dirname(name)
        for name, split in pairs.seconds_alone
        if (split, layout.place(name, WORDS).stem) in labelled
    )
    for folder, count in sorted(second_ones.items()):
        if 2 * count >= len(pairs.matched):
            taken = posixpath.dirname(pairs.matched[0][1])
            raise SourceError(
                f"{tree.root}: the label pictures may be those of {taken} or those of {folder}, "
                f"which has {count} of the same names: take one of the folders away"
            )


def _halves(pairs: layout.Pairs) -> tuple[list[tuple[str, str, str]], list[str]]:
    """What is rejected for want of its other half, and notes on splits without any labels."""
    rejected, of_names = [], _labelled(pairs)
    for name, split in pairs.seconds_alone:
        reason, detail = "missing_image", "no picture for this label picture"
        if other := of_names.get((split, layout.place(name, WORDS).stem)):
            reason, detail = "second_annotation", f"{other[0]} has the label picture {other[1]}"
        rejected.append((name, reason, f"{name}: {detail}"))
    labelled = {split for _, _, split in pairs.matched}
    bare = collections.Counter(split for _, split in pairs.firsts_alone if split not in labelled)
    rejected += [
        (name, "missing_annotation", f"{name}: no label picture for this picture")
        for name, split in pairs.firsts_alone
        if split in labelled
    ]
    notes = [
        f"{split or 'outside of the splits'}: {count} pictures without any label picture are left "
        "out"
        for split, count in sorted(bare.items(), key=str)
    ]
    return rejected, notes


def _listed(tree: files.Tree, pairs: layout.Pairs):
    """[(split, picture, label picture)] of the lists, and what they name in vain."""
    labels = {picture: label for picture, label, _ in pairs.matched}
    by_stem = collections.defaultdict(list)
    for picture in labels:
        by_stem[posixpath.splitext(posixpath.basename(picture))[0]].append(picture)
    pictures = set(layout.pictures(tree))
    chosen, rejected = {}, {}
    for name in tree.names:
        folder, base = posixpath.split(name)
        split = SPLITS.get(base[:-4].lower()) or (base == "trainval.txt" and "trainval")
        if not base.lower().endswith(".txt") or not split:
            continue
        if posixpath.basename(folder) in ("Main", "Layout", "Action"):
            continue
        for line in tree.read(name).decode("utf-8-sig", "surrogateescape").splitlines():
            first, second = _two(line)
            picture = _tail(first, folder, pictures)
            picture = picture or _only(by_stem.get(posixpath.basename(first)))
            label = _tail(second, folder, pictures) if second else labels.get(picture)
            if picture and label:
                chosen[split, picture] = label
            elif first:
                missing = "annotation" if picture else "image"
                detail = f"{name}: {line.strip()!r}: no such file"
                rejected[first] = (picture or first, f"missing_{missing}", detail)
    return [(*key, label) for key, label in chosen.items()], list(rejected.values())


def _two(line: str) -> tuple[str, str]:
    """The one or two names of a line; each may hold blanks."""
    words = line.replace("\t", " ").strip().split(" ")
    half = len(words) // 2
    if len(words) > 1 and len(words) % 2 == 0 and "." in words[half - 1]:
        return " ".join(words[:half]), " ".join(words[half:])
    return line.strip(), ""


def _tail(path: str, folder: str, names: set[str]) -> str | None:
    """The name, at the top or in the list's folder, that ends a path of maybe another machine."""
    parts = path.replace("\\", "/").strip("/").split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    candidates = (name for end in ends for name in (end, posixpath.join(folder, end)))
    return next((name for name in candidates if name in names), None)


def _only(names: list[str] | None) -> str | None:
    return names[0] if names and len(names) == 1 else None
