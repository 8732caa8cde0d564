"""PASCAL annotations as text, "PASCAL Annotation Version 1.00": VOC2005, VOC2006 and their sources.

One text per picture, as in the databases of VOC2005 (TU Darmstadt, ...), VOC2006, INRIA's persons,
the Penn-Fudan pedestrians; http://host.robots.ox.ac.uk/pascal/VOC/databases.html. Corners are whole
pixels, both inclusive, counted from what the text calls its top left pixel: (1, 1), or (0, 0) in
INRIA's. They become continuous: [ymin - top, xmin - left, ymax - top + 1, xmax - left + 1].

A label such as "PAScarRearTrunc" is the class `car`, seen from `Rear`, truncated. Masks of objects
come from pixel masks (PNGs of object numbers) or polygons. Text is UTF-8 or Latin-1.

The picture is the one that the text names, by its path or by as much of its end as is there; else
the one of its base name or stem. Splits: ImageSets/train.txt and so on (or ImageSets/Main/), else
folders (`Train/annotations`), else a hash. Pictures without a text are passed over.
"""

from __future__ import annotations

import dataclasses
import itertools
import posixpath
import re
from collections.abc import Callable

from convoy.data import masks
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore
from convoy.data.sources.voc_layout import check_lists, lists, prefixes, split_of, years

SETS = ("", "Main")  # folders of ImageSets
HEADER = b"PASCAL Annotation Version"
_HEAD_BYTES = 200  # the header is among these
_PROBE = 20  # files looked into by detect
_MAX_BYTES = 1 << 20  # what is larger is another kind of text

# Of text whose runs of blanks are one blank each.
_NUMBER = r"([-+]?\d{1,9}(?:\.\d+)?)"
_PAIR = rf"\( ?{_NUMBER} ?, ?{_NUMBER} ?\)"
_OF = r" (?:for|on) object (\d{1,6}) ?(?:\"([^\"]*)\" ?)?"
_IMAGE = re.compile(r"Image filename ?: ?\"([^\"]+)\"")
_SIZE = re.compile(r"Image size ?\(X x Y x C\) ?: ?(\d{1,7}) ?x ?(\d{1,7})")
_LISTED = re.compile(r"Objects with ground truth ?: ?\d+ ?\{([^{}]*)\}")
_ORIGIN = re.compile(rf"Top left pixel co-?ordinates ?: ?{_PAIR}")
_LABEL = re.compile(rf"Original label{_OF}: ?\"([^\"]*)\"")
_BOX = re.compile(
    rf"Bounding box{_OF}\(Xmin, ?Ymin\) ?(?:- ?)?\(Xmax, ?Ymax\) ?: ?{_PAIR} ?(?:- ?)?{_PAIR}"
)
_MASK = re.compile(rf"Pixel mask{_OF}: ?\"([^\"]*)\"")
_POLYGON = re.compile(rf"Polygon{_OF}\(X, ?Y\) ?: ?((?:{_PAIR} ?(?:- ?)?)+)")
_WORDS = re.compile(
    r"(?:PAS)?(Upright)?(.+?)((?:Left|Right|Frontal|Front|Rear|Side|Walking|Standing|Sitting|"
    r"Truncated|Trunc|Difficult)*)"
)
_LABEL_LENGTH = 200  # what is longer is no label
_FLAGS = ("Trunc", "Truncated", "Difficult")


@dataclasses.dataclass(frozen=True)
class Annotated:
    """One object of a text."""

    name: str  # class
    view: str  # "Left", "Frontal", "Walking", ... or ""
    truncated: bool
    difficult: bool
    box: tuple[float | None, ...]  # ymin, xmin, ymax, xmax, continuous pixels; or four None
    mask: str = ""  # name of a PNG
    polygon: tuple[float, ...] = ()  # x, y, x, y, ... continuous pixels


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One text."""

    filename: str  # of the picture, as the text gives it
    size: tuple[int, int] | None  # height, width
    objects: dict[int, Annotated]  # by their number in the text, from 1


def detect(tree: files.Tree) -> bool:
    """Texts that begin with the format's name, where annotations lie."""
    names = [name for name in tree.names if name.lower().endswith(".txt")]
    names.sort(key=lambda name: "annotation" not in posixpath.dirname(name).lower())
    return any(_is_annotation(tree.where(name)) for name in names[:_PROBE])


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every text, or those in the lists. Raises SourceError."""
    tree = files.tree(path)
    texts = {root: _texts(tree, by_key) for root, by_key in years(tree, ".txt").items()}
    texts = {root: by_key for root, by_key in texts.items() if by_key}
    if not texts:
        raise SourceError(
            f"{tree.root}: expected texts that begin with '# {HEADER.decode()} 1.00', such as "
            f"{tree.root}/Annotations/000001.txt; found none"
        )
    check_lists(tree, texts, options)
    prefix, find = prefixes(tree, list(texts)), _finder(tree)
    references, names, unlisted = [], set(), 0
    for root, by_key in texts.items():
        parsed = {key: _read(tree.where(name)) for key, name in by_key.items()}
        names |= {entry.name for text in parsed.values() if text for entry in text.objects.values()}
        sets = [options.image_sets] if options.image_sets else SETS
        listed = lists(tree, root, sets, by_key)
        rows = [(split, key) for split, keys in listed.items() for key in keys]
        unlisted += len(by_key.keys() - {key for _, key in rows}) if rows else 0
        for split, key in rows or [(None, key) for key in by_key]:
            source_id, text = f"{prefix[root]}/{key}", parsed.get(key)
            split = split or split_of(root, key, source_id, options)
            picture = find(text.filename if text else f"PNGImages/{key}.png", root)
            where = by_key.get(key, posixpath.join(root, "Annotations", f"{key}.txt"))
            pngs = {entry.mask for entry in text.objects.values()} - {""} if text else ()
            rasters = tuple((png, tree.where(find(png, root, True))) for png in sorted(pngs))
            annotation = (tree.where(where), rasters)
            references.append(Reference(source_id, split, tree.where(picture), annotation))
    labels = options.labels or tuple(sorted(names - {""}))
    if not labels:
        raise SourceError(f"{tree.root}: no object in any text; expected labels such as PAScar")
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), labels, notes=_notes(tree, references, unlisted))


def _notes(tree: files.Tree, references: list[Reference], unlisted: int) -> tuple[str, ...]:
    used = {reference.image for reference in references}
    used |= {png for reference in references for _, png in reference.annotation[1]}
    rest = sum(tree.is_picture(name) and tree.where(name) not in used for name in tree.names)
    counts = (
        (unlisted, "texts are in no list of ImageSets"),
        (rest, "pictures have no text listed"),
    )
    return tuple(f"{count} {description}: left out" for count, description in counts if count)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects. Raises BadSample."""
    where, pngs = reference.annotation
    file_name = files.name_of(where)
    text = parse(_bytes(where), file_name)
    picture = images.load(reference.image, max_pixels)
    objects = Objects(
        reference, picture, labels, warn, size=text.size, where=file_name, prefer="stored"
    )
    size = objects.height, objects.width
    rasters = {name: images.read_raster(png, size) for name, png in pngs}
    for number, entry in text.objects.items():
        try:
            mask = _mask(number, entry, text, rasters, size)
        except ValueError as error:
            mask = None
            warn("bad_segmentation", f"{file_name}: object {number}: {error}")
        objects.add(
            entry.name,
            entry.box,
            difficult=entry.difficult,
            truncated=entry.truncated,
            view=entry.view,
            mask=mask,
        )
    return objects.sample()


def parse(text: str | bytes, where: str = "annotation") -> Annotation:
    """The annotation of one text. Raises BadSample corrupt_annotation.

    Objects that are announced without a box have one of four None. Line breaks mean nothing, as
    the format's own text gets wrapped where it is quoted.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    text = " ".join(text.split())
    image, size, listed = _IMAGE.search(text), _SIZE.search(text), _LISTED.search(text)
    if HEADER.decode() not in text[:_HEAD_BYTES] or not image:
        expected = f"expected '# {HEADER.decode()} 1.00' and 'Image filename : \"...\"'"
        raise BadSample("corrupt_annotation", f"{where}: {expected}")
    origin = _ORIGIN.search(text)
    left, top = (float(origin[1]), float(origin[2])) if origin else (1.0, 1.0)
    announced = re.findall(r'"([^"]*)"', listed[1]) if listed else []
    fields: dict[int, dict] = {number: {"label": name} for number, name in enumerate(announced, 1)}
    for number, label, original in _LABEL.findall(text):
        fields.setdefault(int(number), {})["label"] = label or original
    for number, label, *corners in _BOX.findall(text):
        xmin, ymin, xmax, ymax = map(float, corners)
        entry = fields.setdefault(int(number), {})
        entry["label"] = label or entry.get("label", "")
        (ymin, ymax), (xmin, xmax) = _edges(ymin, ymax, top), _edges(xmin, xmax, left)
        entry["box"] = ymin, xmin, ymax, xmax
    for number, _, name in _MASK.findall(text):
        fields.setdefault(int(number), {})["mask"] = name
    for number, _, points, *_ in _POLYGON.findall(text):
        pairs = [
            (float(x) - left + 0.5, float(y) - top + 0.5) for x, y in re.findall(_PAIR, points)
        ]
        fields.setdefault(int(number), {})["polygon"] = tuple(itertools.chain(*pairs))
    stated = (int(size[2]), int(size[1])) if size else None
    return Annotation(
        image[1].strip(), stated, {n: _annotated(**fields[n]) for n in sorted(fields)}
    )


def _edges(low: float, high: float, first: float) -> tuple[float, float]:
    """Two pixels, both inclusive, as continuous edges from 0; in the order that they came in."""
    return (low - first, high - first + 1) if low <= high else (low - first + 1, high - first)


def _annotated(label: str = "", box=(None,) * 4, mask: str = "", polygon=()) -> Annotated:
    name, view, flags = words(label)
    return Annotated(
        name, view, bool({"Trunc", "Truncated"} & flags), "Difficult" in flags, box, mask, polygon
    )


def words(label: str) -> tuple[str, str, set[str]]:
    """(class, view, flags) of a label: "PAScarRearTrunc" -> ("car", "Rear", {"Trunc"})."""
    match = _WORDS.fullmatch(label.strip()[:_LABEL_LENGTH])
    if not match:
        return label.strip(), "", set()
    upright, name, endings = match.groups()
    parts = re.findall("[A-Z][a-z]+", endings)
    views = ["Frontal" if word == "Front" else word for word in parts if word not in _FLAGS]
    name = name[0].lower() + name[1:] if upright else name
    return name, "".join(views), set(parts) & set(_FLAGS)


def _mask(number: int, entry: Annotated, text: Annotation, rasters, size):
    """Where a PNG has the object's number; or, of one for this object alone, where it is not 0.

    Raises ValueError for a polygon that is none.
    """
    if not entry.mask:
        return masks.of_polygons([entry.polygon], *size) if entry.polygon else None
    values = rasters[entry.mask]
    own = values == number
    shared = sum(other.mask == entry.mask for other in text.objects.values()) > 1
    return own if shared or own.any() else values != 0


def _texts(tree: files.Tree, by_key: dict[str, str]) -> dict[str, str]:
    return {key: name for key, name in by_key.items() if _is_annotation(tree.where(name))}


def _is_annotation(where: files.Where) -> bool:
    try:
        return files.size(where) <= _MAX_BYTES and HEADER in files.read(where)[:_HEAD_BYTES]
    except OSError:
        return False


def _read(where: files.Where) -> Annotation | None:
    try:
        return parse(_bytes(where))
    except BadSample:  # counted when it is read
        return None


def _bytes(where: files.Where) -> bytes:
    path = files.name_of(where)
    try:
        return files.read(where)
    except FileNotFoundError:
        raise BadSample("missing_annotation", f"{path}: no such file") from None
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{path}: {error.strerror}") from None


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _finder(tree: files.Tree) -> Callable[..., str]:
    """name in a text, year, whether a mask -> name in the tree, or the name where there is none."""
    by_end: dict[str, list[str]] = {}
    for name in tree.pictures():
        base = posixpath.basename(name)
        for end in (base, posixpath.splitext(base)[0]):
            by_end.setdefault(end, []).append(name)

    def find(stated: str, root: str, is_mask: bool = False) -> str:
        parts = [part for part in stated.replace("\\", "/").split("/") if part not in ("", ".")]
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        base = posixpath.basename(stated.replace("\\", "/"))
        close = by_end.get(base) or by_end.get(posixpath.splitext(base)[0]) or []
        if not is_mask:
            close = [name for name in close if "mask" not in posixpath.dirname(name).lower()]
        inside = [name for name in close if name.startswith(f"{root}/")] if root else []
        for end in ends:
            for name in (end, posixpath.join(root, end)):
                if name in tree:
                    return name
        return next(iter(inside or close), ends[0] if ends else stated)

    return find
