"""What annotation files say of pictures, for readers of files of many or of single pictures.

A reader makes a `Page` of each picture that its files describe; `listing` finds the pictures,
names the classes and counts what is left over, `read` makes the Sample. Geometry is continuous
pixels of the picture as annotated, or parts of its size. Where a picture has an outline all its
objects have masks, a box's filled.
"""

from __future__ import annotations

import collections
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from convoy.data import masks
from convoy.data.files import files, json_stream
from convoy.data.images import images
from convoy.data.objects import Objects, sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, coco_json, ignore
from convoy.data.sources.layout import split_of
from convoy.data.sources.numbered import in_order
from convoy.data.sources.split import hashed_split

PROBE = 5  # files of a kind that a detect looks into
_PROBE_BYTES = 1 << 26  # ... none larger than this
LIMIT = 1e9  # coordinates beyond are no pixels


class Shape(NamedTuple):
    """One object."""

    name: str
    box: tuple[float, ...] = ()  # (ymin, xmin, ymax, xmax); () = around the outlines
    outlines: tuple[tuple[float, ...], ...] = ()  # [x0, y0, ...] each
    holes: tuple[tuple[float, ...], ...] = ()  # likewise, taken out of the mask
    runs: tuple = ()  # (ymin, xmin, height, width, COCO's counts by columns) of a mask
    relative: bool = False  # all are parts of the picture's size
    difficult: bool = False
    truncated: bool = False
    crowd: bool = False


class Page(NamedTuple):
    """What is said of one picture."""

    file: str  # the picture, as the annotation names it
    source: str  # the annotation's file
    shapes: tuple[Shape, ...] = ()
    classes: tuple[str, ...] = ()  # of the whole picture
    captions: tuple[str, ...] = ()
    size: tuple[int, int] | None = None  # (height, width) as annotated
    split: str | None = None
    faults: tuple[tuple[str, str], ...] = ()  # (reason, detail) of objects that are left out
    found: bool = False  # `file` is the name in the tree


def listing(
    tree: files.Tree,
    pages: Sequence[Page],
    options: Options,
    *,
    names: Sequence[str] = (),
    rejected: Iterable[tuple[str, str, str]] = (),
    notes: Iterable[str] = (),
) -> Listing:
    """The Listing of these pages. `names`: classes in order; else those found, sorted.

    Pictures that two pages describe are rejected. Raises SourceError where no class is named.
    """
    finder = coco_json.Pictures(tree)
    shaped = any(page.shapes for page in pages)
    by_picture: dict[str, list[Page]] = collections.defaultdict(list)
    for page in pages:
        by_picture[_picture(finder, page)].append(page)
    rejected, notes, references = list(rejected), list(notes), []
    for name, of_picture in by_picture.items():
        if len(of_picture) > 1:
            both = " and ".join(sorted({page.source for page in of_picture}))
            rejected.append((name, "duplicate_annotation", f"{name}: described twice, in {both}"))
            continue
        page = of_picture[0]
        split = page.split or split_of(name) or hashed_split(name, options.holdout, options.seed)
        annotation = (tuple(page._replace(shapes=tuple(map(tuple, page.shapes)))), shaped)
        references.append(Reference(name, split, tree.where(name), annotation))
    found = {s.name for p in pages for s in p.shapes} if shaped else set()
    found |= {name for page in pages for name in page.classes} if not shaped else set()
    labels = options.labels or tuple(names) or in_order(found)
    captioned = any(page.captions for page in pages)
    if not labels and not captioned:
        raise SourceError(f"{tree.root}: no class in any of the annotations")
    beside = sum(bool(page.classes) for page in pages) if shaped else 0
    if beside:
        notes.append(f"classes of {beside} whole pictures are not used, as there are objects")
    told = {*by_picture, *(row[0] for row in rejected)}
    alone = len(finder) - sum(name in finder for name in told)
    if alone > 0:
        notes.append(f"{alone} pictures are in no annotation, and are not used")
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(
        tuple(references), labels or ("picture",), tuple(sorted(rejected)), notes=tuple(notes)
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects, or its classes. Raises BadSample."""
    page, shaped = Page(*reference.annotation[0]), reference.annotation[1]
    picture = images.load(reference.image, max_pixels)
    for reason, detail in page.faults:
        warn(reason, detail)
    if not shaped:
        for name in sorted(set(page.classes) - set(labels)):
            warn("unknown_class", f"{page.source}: {name!r} is not among the labels")
        classes = sorted(list(labels).index(name) for name in {*page.classes} & {*labels})
        return sample_of(
            reference, picture, labels=np.array(classes, np.int64), captions=page.captions
        )
    where = f"{page.source}: {page.file}"
    objects = Objects(reference, picture, labels, warn, size=page.size, where=where)
    shapes = [_scaled(Shape(*shape), objects.height, objects.width) for shape in page.shapes]
    masked = any(shape.outlines or shape.runs for shape in shapes)
    for shape in shapes:
        try:
            mask = _mask(shape, objects) if masked else None
        except ValueError as error:
            warn("bad_segmentation", f"{where}: {shape.name}: {error}")
            continue
        objects.add(
            shape.name,
            shape.box or _around(shape),
            mask=mask,
            difficult=shape.difficult,
            truncated=shape.truncated,
            crowd=shape.crowd,
        )
    return objects.sample(captions=page.captions)


class Stems:
    """Pictures by their names without endings, or by these in other upper and lower case."""

    def __init__(self, tree: files.Tree):
        self._exact: dict[str, list[str]] = collections.defaultdict(list)
        self._folded: dict[str, list[str]] = collections.defaultdict(list)
        for name in tree.pictures():
            stem = posixpath.splitext(name)[0]
            self._exact[stem].append(name)
            self._folded[stem.casefold()].append(name)

    def get(self, stem: str) -> list[str]:
        """The pictures of this very name, else those in another case."""
        return self._exact.get(stem) or self._folded.get(stem.casefold(), [])


def one_of(
    stems: Stems, places: Iterable[Sequence[str]], source: str
) -> tuple[str | None, list[tuple[str, str, str]]]:
    """(the picture that an annotation is of, rows of pictures to reject).

    places: names without endings, the likeliest first; of equally likely ones that are several
    pictures none is taken. None and no row: there is no picture.
    """
    for alike in places:
        found = sorted({name for place in alike for name in stems.get(place)})
        if len(found) == 1:
            return found[0], []
        if found:
            detail = f"{source} could be of {' or of '.join(found)}; keep one of them"
            return None, [(name, "ambiguous_picture", detail) for name in found]
    return None, []


def json_names(tree: files.Tree, ending: str = ".json") -> list[str]:
    """Names of the files of this ending that are not hidden."""
    return [
        name
        for name in tree.names
        if name.lower().endswith(ending) and not name.rpartition("/")[2].startswith(".")
    ]


def load_json(tree: files.Tree, name: str) -> Any:
    """The content of a file. Raises BadSample."""
    try:
        return json.loads(tree.read(name).decode("utf-8-sig"))
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadSample("corrupt_annotation", f"{name}: {error}") from None


def contents(tree: files.Tree, names: Sequence[str], fits: Callable[[Any], bool], rejected: list):
    """(name, content) of the JSON files that fit; damaged ones are added to `rejected`."""
    for name in names:
        try:
            content = load_json(tree, name)
        except BadSample as error:
            rejected.append((name, error.reason, error.detail))
            continue
        if fits(content):
            yield name, content
        else:
            tree.pass_over(name, "it is another kind of JSON")


def any_json(tree: files.Tree, fits: Callable[[Any], bool], names: Sequence[str] = ()) -> bool:
    """Whether one of the first small JSON files fits."""
    small = _small(tree, names or json_names(tree))
    return any(True for _ in contents(tree, small, fits, []))


def _small(tree: files.Tree, names: Iterable[str]) -> list[str]:
    return [n for n in names if files.length(tree.where(n)) < _PROBE_BYTES][:PROBE]


def lines(tree: files.Tree, name: str) -> list[str]:
    """The lines of a text file. Raises BadSample."""
    try:
        return tree.read(name).decode("utf-8-sig", "replace").splitlines()
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{name}: {error.strerror}") from None


def beginning(tree: files.Tree, names: Iterable[str]) -> Iterator[list[str]]:
    """The lines of the first small text files that hold anything."""
    looked = 0
    for name in names:
        if files.length(tree.where(name)) >= _PROBE_BYTES:
            continue
        try:
            found = [line for line in lines(tree, name) if line.strip()]
        except BadSample:  # counted by scan
            continue
        if found:
            yield found
            looked += 1
        if looked == PROBE:
            return


def any_lines(tree: files.Tree, names: Iterable[str], row: Callable[[str], Any]) -> bool:
    """Whether there are pictures, and each of the first texts begins with a line that is a row."""
    if not tree.pictures():
        return False
    found = list(beginning(tree, names))
    return bool(found) and all(row(rows[0]) is not None for rows in found)


def numbers(values: Any, count: int | None = None) -> tuple[float, ...]:
    """A list of numbers of pixels. Raises ValueError."""
    if not isinstance(values, (list, tuple)) or (count is not None and len(values) != count):
        raise ValueError(f"expected {count or 'a list of'} numbers, got {str(values)[:60]!r}")
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise ValueError(f"expected numbers, got {str(values)[:60]!r}")
    if not all(abs(value) < LIMIT for value in values):  # also for NaN
        raise ValueError(f"expected numbers of pixels, got {str(values)[:60]!r}")
    return tuple(map(float, values))


def text(value: Any) -> str:
    """A name on one line; "" for what is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return json_stream.plain(" ".join(value.split())) if isinstance(value, str) else ""


def whole(*values: Any) -> tuple[int, ...] | None:
    """Sides of a picture; None where one is no whole number above 0."""
    valid = all(isinstance(v, int) and not isinstance(v, bool) and 0 < v < LIMIT for v in values)
    return tuple(values) if valid else None


def from_corner(values: Sequence[float]) -> tuple[float, ...]:
    """(x, y, width, height) -> (ymin, xmin, ymax, xmax); a side below 0 encloses nothing."""
    x, y, width, height = values
    return y, x, y + max(height, 0.0), x + max(width, 0.0)


def _picture(finder: coco_json.Pictures, page: Page) -> str:
    if page.found:
        return page.file
    beside = posixpath.dirname(page.source)
    folders = [beside, *(posixpath.join(beside, f) for f in ("images", "data", "img")), ""]
    return finder.find(page.file, folders, page.split) or coco_json.expected(beside, page.file)


def _scaled(shape: Shape, height: int, width: int) -> Shape:
    if not shape.relative:
        return shape
    box = tuple(v * by for v, by in zip(shape.box, (height, width) * 2, strict=False))
    grow = [width, height]
    rings = [
        tuple(tuple(v * grow[i % 2] for i, v in enumerate(ring)) for ring in group)
        for group in (shape.outlines, shape.holes)
    ]
    return shape._replace(box=box, outlines=rings[0], holes=rings[1])


def _around(shape: Shape) -> tuple[float, ...]:
    if shape.outlines:
        return masks.bounds(shape.outlines)
    top, left, height, width = shape.runs[:4]
    return top, left, top + height, left + width


def _mask(shape: Shape, objects: Objects) -> np.ndarray:
    """Raises ValueError."""
    height, width = objects.height, objects.width
    if shape.runs:
        top, left, rows, columns, counts = shape.runs
        if top < 0 or left < 0 or top + rows > height or left + columns > width:
            raise ValueError(f"a mask that reaches outside the {width}x{height} picture")
        full = np.zeros((height, width), np.uint8)
        runs = counts if isinstance(counts, str) else list(counts)
        part = masks.from_rle({"size": [rows, columns], "counts": runs}, rows, columns)
        full[top : top + rows, left : left + columns] = part
        return full
    ymin, xmin, ymax, xmax = shape.box or (0, 0, 0, 0)
    outlines = shape.outlines or ((xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax),)
    mask = masks.from_polygons(outlines, height, width)
    if shape.holes:
        mask = mask & (1 - masks.from_polygons(shape.holes, height, width))
    return mask


def mask_box(size: tuple[int, int], counts) -> tuple[float, ...]:
    """(ymin, xmin, ymax, xmax) around COCO's runs. Raises ValueError."""
    height, width = size
    if height * width > images.MAX_PIXELS:
        raise ValueError(f"a mask of {width}x{height} pixels")
    pixels = masks.from_rle({"size": [height, width], "counts": counts}, height, width)
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        raise ValueError("an empty mask")
    return float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1)
