"""Pairs of pictures by name: a degraded one and the clean one that restoration shall give.

Folders (or ends of names) say which is which: blur/sharp, input/target, low/high, LR/HR,
noisy/clean, rain/norain, hazy/clear and their like, below or above folders of splits, and below
folders of scenes (`train/GOPR0372/blur`). Without splits, pairs are split by a hash of the
source_id, which is the degraded picture's name; the pictures of a film, where there are several,
by that of its folder.

Sample.image is the degraded picture, Sample.target the clean one, of the same size once both are
upright. Of a film, data.frames: 5, it also has the pictures beside it in the degraded one's folder,
as data/frames.py orders and lays them. A small picture with its large one is another task: the
reader super_resolution makes such pairs out of the large ones.
"""

from __future__ import annotations

import collections
import io
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import PIL.Image

from convoy.data import frames
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample, Told
from convoy.data.sources import Options, SourceError, ignore, layout
from convoy.data.sources.split import hashed_split

_DEGRADED = (
    "blur|blurred|blurry|input|inputs|low|lr|lq|noisy|noise|rain|rainy|hazy|haze|degraded|damaged|"
    "corrupted|distorted|shadow|compressed|underexposed"
)
_CLEAN = (
    "sharp|target|targets|high|hr|hq|clean|norain|clear|groundtruth|gt|gts|original|reference|"
    "expert"
)
WORDS = layout.roles(image=_DEGRADED, target=_CLEAN)
_ENDS = {
    role: re.compile(rf"(?i)(?:(?:{words})[_-])?(.+?)(?:[_-](?:{words})|x\d)?")
    for role, words in (("image", _DEGRADED), ("target", _CLEAN))
}
_WEATHER = {"rain", "rainy", "haze", "hazy", "shadow"}
_CLEAR = {"clear"}
_LOOK, _SMALL, _SAME = 5, (16, 16), 0.5  # pairs looked at, pixels of each, least correlation
LABELS = ("picture",)  # pairs have no classes; a label map must have a name


def detect(tree: files.Tree) -> bool:
    """Folders of both kinds, and nine of ten pictures have their other half.

    Folders such as rain and clear may be classes of weather: there the pictures decide. Raises
    SourceError where they do not.
    """
    pairs = _pairs(tree)
    if not 2 * len(pairs.matched) >= 0.9 * len(layout.pictures(tree)) > 0:
        return False
    if not _weather(tree):
        return True
    alike = [_alike(tree, first, second) for first, second, _ in pairs.matched[:_LOOK]]
    if np.median(alike) < _SAME:
        raise SourceError(
            f"{tree.root}: {pairs.matched[0][0]} and {pairs.matched[0][1]} may be a pair for "
            "restoration, or pictures of two classes, and do not look alike; say which with "
            "--format pairs or --format folder (data.format in a recipe)"
        )
    return True


def _weather(tree: files.Tree) -> tuple[str, ...]:
    """Names of folders that may be classes of weather as well; () = there are not both kinds."""
    words = {word for name in layout.pictures(tree) for word in name.lower().split("/")[:-1]}
    both = words & _WEATHER and words & _CLEAR
    return tuple(sorted(words & (_WEATHER | _CLEAR))) if both else ()


def _alike(tree: files.Tree, first: str, second: str) -> float:
    """Correlation of two pictures' gray values, -1 to 1; 0 where one cannot be read."""
    pixels = []
    for name in (first, second):
        try:
            data = images.load(tree.where(name)).image
        except BadSample:
            return 0.0
        small = PIL.Image.open(io.BytesIO(data)).convert("L").resize(_SMALL)
        pixels.append(np.asarray(small, float).ravel())
    deviations = [values - values.mean() for values in pixels]
    norm = np.prod([np.linalg.norm(values) for values in deviations])
    return float(deviations[0] @ deviations[1] / norm) if norm else 0.0


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pairs. A half alone is rejected. Raises SourceError."""
    tree = files.tree(path)
    pairs = _pairs(tree)
    if not pairs.matched:
        raise SourceError(
            f"{tree.root}: expected pairs of pictures of one name in folders such as blur and "
            f"sharp, input and target, or noisy and clean; found "
            f"{', '.join(tree.folders()) or 'no folder'}"
        )
    names = [name for name, *_ in pairs.matched] + [name for name, _ in pairs.firsts_alone]
    beside = _films(names) if options.frames > 1 else {}
    apart = len({*map(_film_of, beside)}) > 1  # else one film would be one split
    references = []
    for first, second, split in pairs.matched:
        hashed = hashed_split(_film_of(first) if apart else first, options.holdout, options.seed)
        near = tuple(map(tree.where, beside.get(first, ())))
        annotation = Second(tree.where(second), near, options.align) if near else tree.where(second)
        references.append(Reference(first, split or hashed, tree.where(first), annotation))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    rejected = [
        (name, reason, f"{name}: no {half} picture of its name")
        for reason, half, names in (
            ("missing_target", "clean", pairs.firsts_alone),
            ("missing_image", "degraded", pairs.seconds_alone),
        )
        for name, _ in names
    ]
    words = _weather(tree)
    why = "taken as the two pictures of pairs, not as classes of weather"
    told = (Told("folders", len(words), why, words),) if words else ()
    rows = tuple(references), options.labels or LABELS, tuple(sorted(rejected))
    return Listing(*rows, ambiguous=told)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One pair. Raises BadSample: bad_pair where the sizes differ."""
    picture = images.load(reference.image, max_pixels)
    given = reference.annotation
    second = given if isinstance(given, Second) else Second(given)
    try:
        target = images.load(second.target, max_pixels)
    except BadSample as error:
        raise BadSample("bad_pair", f"{error.reason}: {error.detail}") from None
    if (picture.height, picture.width) != (target.height, target.width):
        raise BadSample(
            "bad_pair",
            f"{reference.source_id} has {picture.width}x{picture.height} pixels, "
            f"{files.name_of(second.target)} {target.width}x{target.height}; expected "
            "equal sizes (for larger targets give the large pictures to super_resolution)",
        )
    beside = _beside(reference, picture.image, max_pixels, warn) if second.frames else ()
    return sample_of(reference, picture, target=target.image, frames=beside)


def _beside(reference: Reference, picture: bytes, max_pixels: int, warn) -> tuple[bytes, ...]:
    """The frames beside a picture; where one cannot be used, which is told, the picture itself."""
    found = []
    for where in reference.annotation.frames:
        try:
            found.append(
                picture if where == reference.image else images.load(where, max_pixels).image
            )
        except BadSample as error:
            warn("bad_frame", f"{error.reason}: {error.detail}")
            found.append(picture)
    laid, failed = frames.laid(found, picture, reference.annotation.align)
    if failed:
        detail = f"{reference.source_id}: {failed} of {len(found)} frames beside it"
        warn("not_aligned", f"{detail} have too little in common with it: they stay as they are")
    other = sum(not each for each, own in zip(laid, found, strict=True) if own != picture)
    if other:
        detail = f"{reference.source_id}: {other} of {len(found)} frames beside it"
        warn("frame_size", f"{detail} have another size: it stands for them")
    return tuple(b"" if each == picture else each for each in laid)


class Second(NamedTuple):
    """What belongs to a degraded picture."""

    target: files.Where
    frames: tuple[files.Where, ...] = ()
    align: str = "none"


def _film_of(name: str) -> str:
    return name.rpartition("/")[0]


def _films(names: Iterable[str]) -> dict[str, list[str]]:
    """name -> the names beside it in its folder."""
    folders = collections.defaultdict(list)
    for name in names:
        folders[_film_of(name)].append(name)
    beside = {}
    for film in folders.values():
        film.sort(key=frames.order)
        for index, name in enumerate(film):
            beside[name] = [film[place] for place in frames.neighbours(index, len(film))]
    return beside


def _pairs(tree: files.Tree) -> layout.Pairs:
    """Pictures in folders that say nothing are no part of any pair."""
    names = [name for name in layout.pictures(tree) if layout.place(name, WORDS).role]
    return layout.pairs(
        names,
        WORDS,
        ("image", "target"),
        first_ending=_ENDS["image"],
        second_ending=_ENDS["target"],
    )
