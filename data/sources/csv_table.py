"""What the columns of a CSV file of labelled pictures mean.

The column of pictures is the one that is called so (filename, image, path, ...). Where none is, it
is the one whose cells are found among the files, so that it may have any name, hold paths of
another machine, or ids without an ending; two that fit alike are refused. The first row is a header
unless it names a picture. Columns of a header are known by their names, those of boxes by
csv_boxes.py; without one there may be two columns (picture, class), six (picture, x1, y1, x2, y2,
class), or AutoML's (split, picture, class, and eight of corners as parts of the size).
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

from convoy.data.files import files
from convoy.data.sources import SourceError, csv_boxes, text_lines
from convoy.data.sources.csv_boxes import CORNERS, key_of
from convoy.data.sources.csv_index import Index
from convoy.data.sources.layout import split_in, split_of
from convoy.data.sources.split import SPLITS
from convoy.data.sources.voc_layout import decoded

_DELIMITERS = (",", ";", "\t")
_LOOK = 50  # rows that decide
_HEAD_BYTES = 1 << 16
_CLASS = ("class", "classname", "label", "labels", "labelname", "category", "categoryname")
_CLASS += ("target", "classes", "tags", "species", "breed", "classid", "labelid", "categoryid")
_SPLIT = ("split", "set", "subset", "partition", "dataset", "datasplit")
_SIZES = (("height", "imageheight", "imgheight"), ("width", "imagewidth", "imgwidth"))
_CONFIDENCE = ("confidence",)
_SENTENCES = ("caption", "captions", "comment", "comments", "text", "sentence", "description")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "": False}
_FLAGS |= {"false": False, "true": True, "-1": False, "-1.0": False}  # -1: CelebA's
# Names of a column of pictures, the first ones before the later ones; these are meant for nothing
# else, and those are taken if their cells are pictures that are there.
_PICTURE = ("filename", "imagefilename", "filepath", "imagepath", "imagename", "imagefile")
_PICTURE += ("imgname", "imgpath", "imgfile", "fname", "file", "path", "image", "images", "img")
_PICTURE += ("imageid", "imgid", "picture", "photo", "imageuri")
_MAYBE = ("id", "name", "frame", "uri", "url", "src", "ids")
_NUMBERS = ("", "index", "unnamed0", "unnamed01")  # columns that pandas writes
_OF_SPLITS = ("train", "training", "validation", "validate", "val", "test", "unassigned")
CELEBA = "list_attr_celeba.txt"  # blanks between the cells, below a line with their number


class Columns(NamedTuple):
    """Positions of the columns; -1 and () = there is none."""

    picture: int
    label: int = -1
    box: csv_boxes.Box | None = None
    json: bool = False  # the label's cells hold boxes and classes
    size: tuple[int, ...] = ()  # height, width of the picture
    split: int = -1
    flags: tuple[tuple[int, str], ...] = ()  # one column per class: 1 = it has it
    attributes: tuple[tuple[int, str], ...] = ()  # one column per property: its value, "" unknown
    confidence: int = -1  # 0 = looked at, and not there (Open Images)


class Table(NamedTuple):
    """A CSV file that was understood; or not, and then why."""

    name: str
    columns: Columns | None
    rows: list[tuple[int, list[str]]]  # (number of the row, cells)
    count: int = 0  # of cells per row
    why: str = ""
    spare: tuple[str, ...] = ()  # names of columns that say nothing here
    ambiguous: str = ""  # what could be read in two ways, and which was taken


def names(tree: files.Tree) -> list[str]:
    """Tables that may be labels; not those in which predictions are handed in."""
    endings = (".csv", ".tsv", CELEBA)
    tables = (n for n in tree.names if n.lower().endswith(endings) and "/." not in n)
    return [n for n in tables if "submission" not in n.lower() and "__MACOSX" not in n]


def split_of_table(name: str) -> str | None:
    """The split that the name of a table or its folder says."""
    return split_in(posixpath.splitext(posixpath.basename(name))[0]) or split_of(name)


def read(tree: files.Tree, name: str, index: Index, whole: bool = True, attributes=()) -> Table:
    """The table; `whole` False: its first rows. Raises SourceError for what is no CSV at all.

    attributes: names of columns that each hold one property.
    """
    where = tree.where(name)
    try:
        if whole or files.length(where) <= _HEAD_BYTES:
            text = decoded(files.read(where), errors="surrogateescape")
        else:
            head = decoded(files.read(files.part(where, 0, _HEAD_BYTES)), errors="surrogateescape")
            text = head[: head.rfind("\n") + 1]
    except OSError as error:
        raise SourceError(f"{tree.root}: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{tree.root}: {name} is damaged text: {error}") from None
    rows = _rows(tree, name, text)
    if not rows:
        return Table(name, None, [], why="it is empty")
    first, some = rows[0][1], [cells for _, cells in rows[1 : _LOOK + 1]]
    folder, split = posixpath.dirname(name), split_of_table(name)

    def is_there(cell: str) -> bool:
        return bool(index.find(cell, folder, split))

    column = _picture_column(first, some, is_there)
    if isinstance(column, str):
        return Table(name, None, rows, why=column)
    cell = first[column]
    if files.names_picture(cell) or (key_of(cell) not in _PICTURE and is_there(cell)):
        columns = _without_header(column, [first, *some])
    else:
        known = _of_attributes(column, first, attributes) if attributes else None
        columns, rows = known or _by_header(column, first, some), rows[1:]
    if isinstance(columns, str):
        return Table(name, None, rows, len(first), columns)
    ambiguous = ""
    if columns.box:
        box, ambiguous = csv_boxes.settle(columns.box, [row for _, row in rows], columns.size)
        columns = columns._replace(box=box)
        ambiguous = ambiguous and f"{first[box.columns[0]]} taken as {ambiguous}"
    columns, encoding = _readable(columns, rows)
    if encoding:
        ambiguous = "; ".join(filter(None, (ambiguous, f"not UTF-8: classes read as {encoding}")))
    return Table(name, columns, rows, len(first), "", _spare(columns, first, cell), ambiguous)


def _readable(columns: Columns, rows: list) -> tuple[Columns, str]:
    """Classes that are not UTF-8, as Excel writes them; names of files stay as their bytes are."""
    encodings: set[str] = set()
    flags = tuple((i, text_lines.repaired(name, encodings)) for i, name in columns.flags)
    if columns.label >= 0:
        for _, cells in rows:
            for i in range(columns.label, min(columns.label + 1, len(cells))):
                cells[i] = text_lines.repaired(cells[i], encodings)
    return columns._replace(flags=flags), " and ".join(sorted(encodings))


def _spare(columns: Columns, header: list[str], picture: str) -> tuple[str, ...]:
    """Names of the columns that are not read."""
    if files.names_picture(picture):
        return ()
    used = {columns.picture, columns.label, columns.split, columns.confidence, *columns.size}
    used |= {*(columns.box.columns if columns.box else ()), *(i for i, _ in columns.flags)}
    used |= {i for i, _ in columns.attributes}
    return tuple(
        text for i, text in enumerate(header) if i not in used and key_of(text) not in _NUMBERS
    )


def _picture_column(first: list[str], some: list[list[str]], is_there) -> int | str:
    """The position of the column of pictures, or why there is none."""
    matches = [sum(is_there(row[i]) for row in some if i < len(row)) for i in range(len(first))]
    keys = [key_of(cell) for cell in first]
    if not any(map(files.names_picture, first)):
        named = sorted((_PICTURE.index(key), i) for i, key in enumerate(keys) if key in _PICTURE)
        for _, i in named:
            if matches[i]:
                return i
        if named:
            return f"its column {first[named[0][1]]!r} names no picture that is there"
        for i, key in enumerate(keys):
            if key in _MAYBE and matches[i]:
                return i
    endings = [
        sum(files.names_picture(row[i]) for row in [first, *some] if i < len(row))
        for i in range(len(first))
    ]
    found = [matches[i] + is_there(cell) for i, cell in enumerate(first)]
    order = sorted(
        (i for i in range(len(first)) if found[i]),
        key=lambda i: (keys[i] in _NUMBERS, -endings[i], -found[i], i),
    )
    if not order:
        return "no column of it names pictures that are there"
    best, *others = order
    alike = [i for i in others if (endings[i], found[i]) == (endings[best], found[best])]
    if alike and keys[alike[0]] not in _NUMBERS:
        both = f"{first[best]!r} and {first[alike[0]]!r}"
        return f"its columns {both} both name pictures: call that of the pictures filename"
    return best


def _rows(tree: files.Tree, name: str, text: str) -> list[tuple[int, list[str]]]:
    """(number, cells) of all rows that are not blank."""
    if name.lower().endswith(CELEBA):
        lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
        rows = [(number, cells) for number, cells in lines if cells]
        if len(rows) > 2 and len(rows[1][1]) == len(rows[2][1]) - 1:
            return [(rows[1][0], ["filename", *rows[1][1]]), *rows[2:]]
        return rows
    head = "".join(text.splitlines(keepends=True)[:_LOOK])
    delimiter = max(_DELIMITERS, key=lambda d: _consistency(head, d))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise SourceError(f"{tree.root}: {name} row {reader.line_num}: {error}") from None
    return rows


def _consistency(head: str, delimiter: str) -> tuple[float, int]:
    """(part of the rows that have as many cells as the first, how many), 0 for a single one."""
    try:
        counts = [len(row) for row in csv.reader(io.StringIO(head), delimiter=delimiter) if row]
    except csv.Error:
        return 0, 0
    if not counts or counts[0] < 2:
        return 0, 0
    return sum(count == counts[0] for count in counts) / len(counts), counts[0]


def _without_header(column: int, rows: list[list[str]]) -> Columns | str:
    count = len(rows[0])
    if count == 2:
        return Columns(column, label=1 - column)
    numbers = all(_is_number(cell) or not cell for row in rows for cell in row[1:5])
    if count == 6 and column == 0 and numbers:
        return Columns(column, label=5, box=csv_boxes.Box((2, 1, 4, 3)))
    split = 0 if rows[0][0].lower() in _OF_SPLITS and column == 1 else -1
    if count == column + 10 and split == column - 1:  # AutoML's: a rectangle of four corners
        x, y = column + 2, column + 3
        return Columns(column, column + 1, csv_boxes.Box((y, x, y + 4, x + 4)), split=split)
    if count == 3 and split == 0:
        return Columns(column, label=2, split=split)
    return f"it has {count} columns and no header that says what they are"


def _by_header(column: int, header: list[str], some: list[list[str]]) -> Columns | str:
    keys = [key_of(cell) for cell in header]
    place = {key: i for i, key in reversed(list(enumerate(keys))) if i != column}
    box = csv_boxes.of_header(place, header, some)
    taken = box.columns if box else ()
    free = {key: i for key, i in place.items() if i not in taken}
    size = tuple(_first(free, keys_) for keys_ in _SIZES)
    size = size if -1 not in size else ()
    label, split = _class_column(place), _first(place, _SPLIT)
    if split >= 0 and not any(row[split].lower() in SPLITS for row in some if split < len(row)):
        split = -1
    confidence = _first(place, _CONFIDENCE)
    used = {column, split, confidence, *size, *taken}
    rest = [i for i, key in enumerate(keys) if i not in used and key]
    others = {keys[i] for i in rest}
    points = {key[:-1] for key in others if key.endswith("x") and f"{key[:-1]}y" in others}
    points |= {key[1:] for key in others if re.fullmatch(r"x\d+", key) and f"y{key[1:]}" in others}
    two_points = box and box.form == CORNERS and keys[box.columns[0]] == "y1"
    if len(points) > 1 or (points and two_points):
        return "its columns are points"
    if box:
        label = label if label >= 0 else _first(place, ("name", "id"))
        if label < 0 and two_points:
            return "its columns are two points without a class"
        return Columns(column, label, box, False, size, split, confidence=confidence)
    parts = [header[i] for i in rest if i != label and csv_boxes.is_part(keys[i])]
    if parts:
        return (
            f"its columns {', '.join(parts)} look like parts of a box that are not understood: "
            "expected xmin, ymin, xmax, ymax; x, y, w, h; x_center, y_center, w, h; or bbox"
        )
    if label < 0 and len(rest) == 1:
        label = rest[0]
    if label >= 0:
        if keys[label] in _SENTENCES or any("." in row[label] and _is_number(row[label])
                                            for row in some if label < len(row)):  # fmt: skip
            return f"its column {header[label]!r} holds no classes"
        texts = [row[label] for row in some if label < len(row) and row[label]]
        if any(map(csv_boxes.is_json, texts)):
            if any("rectanglelabels" in text for text in texts):
                return Columns(column, label, json=True, split=split)
            return f"its column {header[label]!r} holds JSON that is not understood"
        return Columns(column, label, split=split, confidence=confidence)
    if len(rest) < 2 or not all(flag(row[i]) is not None for row in some for i in rest if
                                i < len(row)):  # fmt: skip
        return (
            "no column of it is called class or label, and not all others hold 0 and 1; of columns "
            "that each hold one property of the picture the names go into data.attributes"
        )
    return Columns(column, split=split, flags=tuple((i, header[i]) for i in rest))


def _of_attributes(column: int, header: list[str], attributes: Sequence[str]) -> Columns | str:
    """The columns that the recipe names, or which of them are not there."""
    place = {key_of(cell): i for i, cell in reversed(list(enumerate(header)))}
    missing = [name for name in attributes if key_of(name) not in place]
    if missing:
        return f"it has no column {', '.join(missing)} of data.attributes, but {', '.join(header)}"
    named = tuple((place[key_of(name)], name) for name in attributes)
    return Columns(column, split=_first(place, _SPLIT), attributes=named)


def _class_column(place: dict[str, int]) -> int:
    """By its name, else the only one whose name ends so (DigitLabel)."""
    index = _first(place, _CLASS)
    ends = [i for key, i in place.items() if re.fullmatch(r".+(label|class|category)", key)]
    return index if index >= 0 or len(ends) != 1 else ends[0]


def _first(place: dict[str, int], keys: Sequence[str]) -> int:
    return next((place[key] for key in keys if key in place), -1)


def flag(text: str) -> bool | None:
    """Of a column of 0 and 1; None = it is neither."""
    return _FLAGS.get(text.lower())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
