"""Instance segmentation: one mask per picture file, or label pictures of objects' numbers.

Layouts, below or above folders of splits:
* ID/images/ID.png with ID/masks/*.png (Data Science Bowl 2018), one file per object;
* images/NAME.jpg with masks/NAME/*.png, one file per object;
  in both the masks may lie in folders of their class: masks/CLASS/*.png, masks/NAME/CLASS/*.png;
* images/NAME.jpg with masks/CLASS/NAME.png, or NAME_0.png and so on: one class per folder, one
  object per value that is not 0;
* PNGImages/NAME.png with PedMasks/NAME_mask.png (PennFudan), or instances/NAME.png: an object for
  each value (or color) that is not 0 (black).
Without class folders the class is the first of data.labels, or "object". Boxes are the hulls of
masks in continuous pixels: [top row, left column, bottom row + 1, right column + 1]. A mask of gray
values is inside where it has half of its largest or more.
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, classes, ignore, layout
from convoy.data.sources.split import SPLITS, hashed_split

WORDS = layout.roles(
    mask="masks|mask",
    ids="pedmasks|instances|instancemasks|instance_masks|objectmasks|instanceids",
    image="images|image|imgs|img|pngimages|jpegimages|pictures",
)
MAX_MASK_BYTES = 2 << 30  # of all masks of one picture, one byte per pixel
_NUMBERED = re.compile(r"(.+?)(?:[_-](?:mask|masks|\d+))*")


class _Place(NamedTuple):
    role: str
    split: str | None
    above: tuple[str, ...]  # folders above that of the role; those of splits left out
    below: tuple[str, ...]
    stem: str


class _Mask(NamedTuple):
    """A mask file of a picture."""

    picture: str
    name: str
    label: str  # "" = none said
    many: bool  # one object per value, else one object


def detect(tree: files.Tree) -> bool:
    """Masks of single objects, or objects' numbers, for at least half of the mask files."""
    pictures, masks = _placed(tree)
    return bool(masks) and 2 * len(_matched(pictures, masks)) >= len(masks)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures that have masks. Raises SourceError."""
    tree = files.tree(path)
    pictures, masks = _placed(tree)
    matched = _matched(pictures, masks)
    if not matched:
        raise SourceError(
            f"{tree.root}: expected pictures with a mask for each object, as ID/images/*.png with "
            "ID/masks/*.png, images/NAME.jpg with masks/NAME/*.png or masks/CLASS/NAME.png, or "
            f"objects' numbers in PedMasks or instances; found {len(masks)} mask files"
        )
    unnamed = (*options.labels, "object")[0]
    names = options.labels or tuple(sorted({mask.label or unnamed for mask in matched}))
    of_picture: dict[str, list[_Mask]] = collections.defaultdict(list)
    for mask in matched:
        of_picture[mask.picture].append(mask)
    references = []
    for name, members in of_picture.items():
        split = pictures[name].split or hashed_split(name, options.holdout, options.seed)
        rows = tuple((m.label or unnamed, m.many, tree.where(m.name)) for m in members)
        references.append(Reference(name, split, tree.where(name), rows))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    used = {mask.name for mask in matched}
    rejected = [
        (name, "missing_image", f"{name}: no picture for this mask")
        for name in sorted(masks.keys() - used)
    ]
    bare = sorted(pictures.keys() - of_picture.keys())
    note = f"{len(bare)} pictures without any mask are left out, such as {bare[:1]}"
    return Listing(tuple(references), names, tuple(rejected), notes=(note,) if bare else ())


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects. Raises BadSample."""
    picture = images.load(reference.image, max_pixels)
    pixels, taken = picture.height * picture.width, 0
    objects = None
    for label, many, where in reference.annotation:
        codes = classes.codes_of(where, False, max_pixels)
        objects = objects or Objects(
            reference, picture, labels, warn, size=codes.shape, scalable=False
        )
        if codes.shape != (objects.height, objects.width):
            raise BadSample(
                "bad_segmentation",
                f"{files.name_of(where)}: {codes.shape[1]}x{codes.shape[0]} pixels; expected "
                f"{objects.width}x{objects.height}",
            )
        for mask in _of_values(codes) if many else [_inside(codes)]:
            taken += pixels
            if taken > MAX_MASK_BYTES:
                detail = f"{reference.source_id}: more than {taken // pixels - 1} masks"
                raise BadSample("too_large", detail)
            objects.add(label, _hull(mask), mask=mask)
    return objects.sample()


def _placed(tree: files.Tree) -> tuple[dict[str, _Place], dict[str, _Place]]:
    """Pictures and masks."""
    pictures, masks = {}, {}
    for name in layout.pictures(tree):
        at = _place(name)
        (masks if at.role in ("mask", "ids") else pictures)[name] = at
    return pictures, masks


def _place(name: str) -> _Place:
    folder, _, base = name.rpartition("/")
    return _Place(*_folders(folder), base.rpartition(".")[0])


@functools.lru_cache(maxsize=1 << 16)
def _folders(folder: str) -> tuple:
    """The place without the stem."""
    folders = folder.split("/") if folder else []
    roles = [layout.place(f"{folder}/x", WORDS).role for folder in folders]
    at = next((i for i, role in enumerate(roles) if role), len(folders))
    above, below = (
        tuple(folder for folder in part if folder.lower() not in SPLITS)
        for part in (folders[:at], folders[at + 1 :])
    )
    role = roles[at] if at < len(folders) else ""
    return role, layout.split_of(f"{folder}/x"), above, below


def _matched(pictures: dict[str, _Place], masks: dict[str, _Place]) -> list[_Mask]:
    by_folder: dict[tuple, dict[str, str]] = collections.defaultdict(dict)
    for name, at in pictures.items():
        by_folder[at.split, (*at.above, *at.below)][at.stem] = name
    matched = []
    for name, at in masks.items():
        near = by_folder.get((at.split, at.above), {})
        matched += filter(None, [_match(name, at, near)])
    return matched


def _match(name: str, at: _Place, near: dict[str, str]) -> _Mask | None:
    """The mask's picture among those of its folder, {stem: name}, by the layouts above."""
    if at.role == "ids" and not at.below:
        picture = near.get(at.stem) or near.get(_NUMBERED.fullmatch(at.stem)[1])
        return _Mask(picture, name, "", True) if picture else None
    if at.below and at.below[0] in near and len(at.below) < 3:
        return _Mask(near[at.below[0]], name, "".join(at.below[1:]), False)
    if at.above and len(near) == 1 and len(at.below) < 2:
        return _Mask(*near.values(), name, "".join(at.below), False)
    if len(at.below) == 1:
        picture = near.get(at.stem) or near.get(_NUMBERED.fullmatch(at.stem)[1])
        return _Mask(picture, name, at.below[0], True) if picture else None
    return None


def _inside(codes: np.ndarray) -> np.ndarray:
    if codes.max(initial=0) >= classes.COLOR:
        return codes != classes.COLOR
    return codes * 2 >= max(codes.max(initial=0), 1)


def _of_values(codes: np.ndarray) -> Iterator[np.ndarray]:
    for value in np.unique(codes):
        if value not in (0, classes.COLOR):
            yield codes == value


def _hull(mask: np.ndarray) -> tuple[float, float, float, float]:
    """[ymin, xmin, ymax, xmax]; without area where the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1)
