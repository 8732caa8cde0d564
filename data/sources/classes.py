"""What the values of label pictures mean: their classes, and what is ignored.

Names of classes come from data.labels, else from a table in the data set, else from a layout whose
classes are known, else they are the values themselves, as text. Tables: label_colors.txt
("64 128 64<TAB>Animal"), class_dict.csv ("name,r,g,b"), CVAT's labelmap.txt ("name:r,g,b::"),
class_names.txt (one a line), ADE20K's objectInfo150.txt (the first is 1; 0 is ignored).
Known layouts: SegNet's CamVid (train/trainannot), Cityscapes' labelTrainIds and labelIds, both
to the 19 classes that are evaluated.

Label pictures hold indices (8-bit gray or palette, 1-bit, 16-bit), or colors of the table. The
table's order gives the indices. Ignored are data.ignore, else 255, and classes named void, ignore,
unlabelled or unlabeled. Label pictures that hold 0 and 255 alone are of two classes. Where no
names are known, up to 50 label pictures, spread over the data set, give the values: all up to the
largest are classes, or, where most of these do not occur, those that were found.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError

IGNORE = 255
PROBES = 50
COLOR = 1 << 24  # a code of COLOR + r * 65536 + g * 256 + b is a color, a smaller one an index
_IGNORED = re.compile(r"(?i)_*(void|ignored?|unlabell?ed)_*")
_CAMVID = [
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
    "void",
]
_CITYSCAPES = [
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
]
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


class Meaning(NamedTuple):
    """labels: of the classes; codes: ((code, class or IGNORE), ...) of all values that may be."""

    labels: tuple[str, ...]
    codes: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()


class _Table(NamedTuple):
    names: list[str]
    colors: list[int]  # codes, or none
    first: int = 0  # index of the first name


def find(tree: files.Tree, labels: Sequence[str], options: Options) -> Meaning:
    """The meaning of these label pictures. Raises SourceError."""
    table = _table(tree)
    codes = _probe(tree, labels, bool(table and table.colors))
    standard = None if table else _standard_table(labels, codes)
    table = table or standard
    if standard and standard.names == _CAMVID and not options.labels:
        meaning = of_indices(codes, options, tree.root, table)
        note = "trainannot with values up to 11: taken as SegNet's CamVid; else give data.labels"
        return meaning._replace(notes=(*meaning.notes, note))
    if codes and max(codes) >= COLOR:
        return _colored(table, labels, options, tree.root)
    if any("_labelIds." in label for label in labels) and not options.labels:
        rows = list(zip(_CITYSCAPES_IDS, _CITYSCAPES, strict=True))
        rows += [(value, "void") for value in range(256) if value not in _CITYSCAPES_IDS]
        note = "the 19 classes that Cityscapes evaluates; its other ids are ignored"
        return _meaning(rows, options, tree.root, note)
    return of_indices(codes, options, tree.root, table)


def read(where: files.Where, codes, max_pixels: int = images.MAX_PIXELS) -> np.ndarray:
    """uint8 [H, W]: the class of each pixel, or IGNORE. Raises BadSample bad_segmentation."""
    colors = any(code >= COLOR for code, _ in codes)
    return mapped(codes_of(where, colors, max_pixels), codes, files.name_of(where))


def mapped(values: np.ndarray, codes, where: str) -> np.ndarray:
    """uint8 [H, W]: the class of each code, or IGNORE. Raises BadSample bad_segmentation."""
    lookup = dict(codes)
    unique, inverse = _unique(values)
    unknown = [int(code) for code in unique if int(code) not in lookup]
    if unknown:
        raise BadSample(
            "bad_segmentation",
            f"{where}: value {_text(unknown[0])} is no class; expected "
            f"{', '.join(_text(code) for code in sorted(lookup)[:20])}. Give the classes in order "
            "as data.labels, and the value that means 'not labelled' as data.ignore",
        )
    return np.array([lookup[int(code)] for code in unique], np.uint8)[inverse]


def codes_of(where: files.Where, colors: bool, max_pixels: int) -> np.ndarray:
    """`codes_in` of a file."""
    try:
        data = files.read(where)
    except OSError as error:
        detail = f"{files.name_of(where)}: {error.strerror}"
        raise BadSample("bad_segmentation", detail) from None
    return codes_in(data, colors, max_pixels, files.name_of(where))


def codes_in(data: bytes, colors: bool, max_pixels: int, where: str) -> np.ndarray:
    """int32 [H, W] codes of a label picture; `colors`: of palettes too.

    A JPEG blurs values: it is taken for black and white, 0 and 255. Raises BadSample
    bad_segmentation.
    """
    try:
        format_name = images.inspect(data, max_pixels).format
        picture = PIL.Image.open(io.BytesIO(data))
        picture.load()
    except BadSample as error:
        raise BadSample("bad_segmentation", f"{where}: {error.detail}") from None
    except OSError as error:
        raise BadSample("bad_segmentation", f"{where}: {error}") from None
    if format_name == "JPEG":
        return np.where(np.asarray(picture.convert("L")) >= 128, 255, 0).astype(np.int32)
    if picture.mode in ("1", "L", "I", "I;16", "I;16B", "I;16L"):
        return np.asarray(picture).astype(np.int32)
    if picture.mode == "P" and not colors:
        return np.asarray(picture).astype(np.int32)
    if picture.mode not in ("P", "LA", "RGB", "RGBA"):
        detail = f"{where}: mode {picture.mode} holds no indices or colors"
        raise BadSample("bad_segmentation", detail)
    pixels = np.asarray(picture.convert("RGB"))
    if not colors and (pixels == pixels[..., :1]).all():
        return pixels[..., 0].astype(np.int32)
    return _packed(pixels)


def _packed(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = (pixels[..., i].astype(np.int32) for i in range(3))
    return COLOR + red * 65536 + green * 256 + blue


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """np.unique with the inverse, fast where the values are few and small."""
    if values.size and values.min() >= 0 and values.max() < 65536:
        unique = np.flatnonzero(np.bincount(values.ravel()))
        place = np.zeros(int(unique[-1]) + 1, np.int64)
        place[unique] = np.arange(len(unique))
        return unique, place[values]
    unique, inverse = np.unique(values, return_inverse=True)
    return unique, inverse.reshape(values.shape)


def _probe(tree: files.Tree, labels: Sequence[str], colors: bool) -> set[int]:
    """Codes in up to PROBES of the label pictures; damaged ones are rejected when read."""
    chosen = sorted(labels)
    if len(chosen) > PROBES:
        chosen = [chosen[i * len(chosen) // PROBES] for i in range(PROBES)]
    codes: set[int] = set()
    for name in chosen:
        try:
            codes.update(_unique(codes_of(tree.where(name), colors, images.MAX_PIXELS))[0].tolist())
        except BadSample:
            continue
    return codes


def _colored(table: _Table | None, labels, options: Options, root: str) -> Meaning:
    """Of label pictures that hold colors."""
    if table is None or not table.colors:
        raise SourceError(
            f"{root}: label pictures such as {labels[0]} are colored; expected a table of "
            "colors: label_colors.txt with lines 'R G B name', class_dict.csv with columns "
            "name,r,g,b, or labelmap.txt with lines 'name:r,g,b::'"
        )
    if options.ignore is not None:
        raise SourceError(
            f"data.ignore {options.ignore}: the label pictures of {root} hold colors; "
            "name the color 'void' in the table instead"
        )
    return _meaning(list(zip(table.colors, table.names, strict=True)), options, root)


def of_indices(
    codes: set[int], options: Options, root: str, table: _Table | None = None
) -> Meaning:
    """Of label pictures that hold indices; `codes`: those in some of them. Raises SourceError."""
    names = options.labels or (table.names if table else ("background", "object"))
    if codes == {0, 255} and options.ignore is None and len(names) == 2:
        note = "label pictures hold 0 and 255: two classes, no ignored pixels"
        return _meaning(list(zip((0, 255), names, strict=True)), options, root, note)
    ignored = IGNORE if options.ignore is None else options.ignore
    first = table.first if table and options.ignore is None else 0
    note = ""
    if table and {*options.labels} <= {*table.names}:
        names = table.names
        values = list(range(table.first, table.first + len(names)))
    elif options.labels:
        names = list(options.labels)
        values = [v for v in range(first, first + len(names) + 1) if v != ignored][: len(names)]
    else:
        values = sorted(codes - {ignored, IGNORE})
        if values and values[-1] < 3 * len(values):
            values = [value for value in range(values[-1] + 1) if value != ignored]
        names = [str(value) for value in values]
        note = "classes have no names but their values in label pictures; give data.labels"
    rows = [(v, "void" if v == ignored else n) for v, n in zip(values, names, strict=True)]
    others = {ignored, IGNORE, *range(first)} - {*values}
    return _meaning([*rows, *((value, "void") for value in sorted(others))], options, root, note)


def _meaning(rows: list[tuple[int, str]], options: Options, root: str, note: str = "") -> Meaning:
    """Of (code, name) in the order of the classes; void and unwanted ones become IGNORE."""
    labels = list(dict.fromkeys(name for _, name in rows if not _IGNORED.fullmatch(name)))
    kept = [name for name in options.labels if not _IGNORED.fullmatch(name)] or labels
    dropped = [name for name in labels if name not in kept]
    unknown = [name for name in kept if name not in labels]
    if unknown:
        raise SourceError(
            f"{root}: data.labels: {', '.join(unknown)} not among the classes of its table: "
            f"{', '.join(labels)}"
        )
    if not 0 < len(kept) <= IGNORE:
        raise SourceError(f"{root}: {len(kept)} classes besides ignored; expected 1 to {IGNORE}")
    codes = tuple((code, kept.index(n) if n in kept else IGNORE) for code, n in rows)
    dropped_note = (
        f"ignored, as data.labels does not name them: {', '.join(dropped)}" if dropped else ""
    )
    return Meaning(tuple(kept), codes, tuple(filter(None, (note, dropped_note))))


def _standard_table(labels: Sequence[str], codes: set[int]) -> _Table | None:
    """Of a layout with standard classes; `codes`: values in some of the label pictures."""
    if any("_labelTrainIds." in label for label in labels):
        return _Table(_CITYSCAPES, [])
    folders = {label.rpartition("/")[0].rpartition("/")[2] for label in labels}
    # Its 11, void, occurs in nearly every picture: smaller values alone are of another set.
    if folders & {"trainannot", "valannot", "testannot"} and max(codes - {IGNORE}, default=0) == 11:
        return _Table(_CAMVID, [])
    return None


def _table(tree: files.Tree) -> _Table | None:
    """The first table found."""
    for name in tree.names:
        base = name.rpartition("/")[2].lower()
        parse = _PARSERS.get(base)
        if parse is None:
            continue
        table = parse(tree.read(name).decode("utf-8-sig", "replace"))
        if table and table.names:
            return table
    return None


def _label_colors(text: str) -> _Table | None:
    rows = [
        re.fullmatch(r"\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*?)\s*", r) for r in _lines(text)
    ]
    return _colors([(row[4], row[1], row[2], row[3]) for row in rows if row])


def _class_dict(text: str) -> _Table | None:
    rows = [[cell.strip() for cell in row] for row in csv.reader(_lines(text))]
    return _colors([row[:4] for row in rows if len(row) > 3 and all(map(_is_byte, row[1:4]))])


def _labelmap(text: str) -> _Table | None:
    rows = [line.split(":") for line in _lines(text) if not line.startswith("#")]
    rows = [(row[0].strip(), *row[1].split(",")) for row in rows if len(row) > 1]
    return _colors([row for row in rows if len(row) == 4 and all(map(_is_byte, row[1:]))])


def _class_names(text: str) -> _Table | None:
    names = [line.strip() for line in _lines(text)]
    names = ["background" if name == "_background_" else name for name in names]
    return _Table([name for name in names if name != "__ignore__"], [])


def _object_info(text: str) -> _Table | None:
    rows = [line.split("\t") for line in _lines(text)]
    full = [row[-1].strip() for row in rows if row[0].strip().isdigit()]
    short = [re.split(r"[,;]", name)[0].strip() for name in full]
    names = [s if short.count(s) == 1 else f for s, f in zip(short, full, strict=True)]
    return _Table(names, [], first=1)


def _colors(rows) -> _Table:
    codes = [COLOR + int(r) * 65536 + int(g) * 256 + int(b) for _, r, g, b in rows]
    return _Table([name.strip() for name, *_ in rows], codes)


def _is_byte(text: str) -> bool:
    return text.strip().isdecimal() and int(text) < 256


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _text(code: int) -> str:
    if code < COLOR:
        return str(code)
    value = code - COLOR
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})"


_PARSERS = {
    "label_colors.txt": _label_colors,
    "class_dict.csv": _class_dict,
    "labelmap.txt": _labelmap,
    "class_names.txt": _class_names,
    "objectinfo150.txt": _object_info,
}
