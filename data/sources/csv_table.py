"""What the columns of a CSV file of labelled pictures mean.

The column of pictures is the one whose cells are found among the files, so that it may have any
name, hold paths of another machine, or ids without an ending. The first row is a header unless it
names a picture. Columns of a header are known by their names; without one there may be two columns
(picture, class) or six (picture, x1, y1, x2, y2, class).
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

from convoy.data.files import files
from convoy.data.sources import SourceError
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
_CORNERS = (  # (ymin, xmin, ymax, xmax)
    ("ymin", "xmin", "ymax", "xmax"),
    ("y1", "x1", "y2", "x2"),
    ("top", "left", "bottom", "right"),
    ("miny", "minx", "maxy", "maxx"),
)
_CONFIDENCE = ("confidence",)
_SENTENCES = ("caption", "captions", "comment", "comments", "text", "sentence", "description")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "": False}
_FLAGS |= {"false": False, "true": True}


class Index:
    """Pictures by what a table may call them."""

    def __init__(self, tree: files.Tree, names: Sequence[str]):
        self._names = set(names)
        self._bases: dict[str, list[str]] = {}
        for name in names:
            base = posixpath.basename(name)
            for key in {base, posixpath.splitext(base)[0]}:
                self._bases.setdefault(key, []).append(name)

    def find(self, text: str, folder: str, split: str | None = None) -> str | None:
        """The picture that a cell of a table in `folder` means."""
        parts = [p for p in text.replace("\\", "/").split("/") if p not in ("", ".")]
        if not parts:
            return None
        below = [p for p in parts if p != ".."]
        ends = ("/".join(below[i:]) for i in range(len(below)))
        near = posixpath.normpath(posixpath.join(folder, *parts))
        matches = [name for name in (near, *ends) if name in self._names]
        if matches:
            return matches[0]
        base = parts[-1]
        stem = posixpath.splitext(base)[0] if files.is_picture(base) else base
        same = self._bases.get(base) or self._bases.get(stem) or []
        for narrow in (
            lambda name: posixpath.dirname(name).endswith("/".join(below[:-1])),
            lambda name: split is not None and split_of(name) == split,
            lambda name: name.startswith(f"{folder}/"),
        ):
            same = [name for name in same if narrow(name)] or same
        return same[0] if len(same) == 1 else None


class Columns(NamedTuple):
    """Positions of the columns; -1 and () = there is none."""

    picture: int
    label: int = -1
    corners: tuple[int, ...] = ()  # ymin, xmin, ymax, xmax
    sized: bool = False  # the last two corners are height and width
    size: tuple[int, ...] = ()  # height, width of the picture
    split: int = -1
    flags: tuple[tuple[int, str], ...] = ()  # one column per class: 1 = it has it
    confidence: int = -1  # 0 = looked at, and not there (Open Images)


class Table(NamedTuple):
    """A CSV file that was understood; or not, and then why."""

    name: str
    columns: Columns | None
    rows: list[tuple[int, list[str]]]  # (number of the row, cells)
    count: int = 0  # of cells per row
    why: str = ""


def names(tree: files.Tree) -> list[str]:
    """Tables that may be labels; not those in which predictions are handed in."""
    tables = (n for n in tree.names if n.lower().endswith((".csv", ".tsv")) and "/." not in n)
    return [n for n in tables if "submission" not in n.lower() and "__MACOSX" not in n]


def split_of_table(name: str) -> str | None:
    """The split that the name of a table or its folder says."""
    return split_in(posixpath.splitext(posixpath.basename(name))[0]) or split_of(name)


def read(tree: files.Tree, name: str, index: Index, whole: bool = True) -> Table:
    """The table; `whole` False: its first rows. Raises SourceError for what is no CSV at all."""
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
    matches = [sum(bool(index.find(c[i], folder, split)) for c in [first, *some] if i < len(c))
             for i in range(len(first))]  # fmt: skip
    column = max(range(len(first)), key=lambda i: (matches[i], -i))
    if not matches[column]:
        return Table(name, None, rows, why="no column of it names pictures that are there")
    cell = first[column]
    if index.find(cell, folder, split) or files.is_picture(cell):
        columns = _without_header(column, [first, *some])
    else:
        columns, rows = _by_header(column, first, some), rows[1:]
    why = columns if isinstance(columns, str) else ""
    return Table(name, None if why else columns, rows, len(first), why)


def _rows(tree: files.Tree, name: str, text: str) -> list[tuple[int, list[str]]]:
    """(number, cells) of all rows that are not blank."""
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
        return Columns(column, label=5, corners=(2, 1, 4, 3))
    return f"it has {count} columns and no header that says what they are"


def _by_header(column: int, header: list[str], some: list[list[str]]) -> Columns | str:
    keys = [re.sub(r"^(bbox|box)(?=.)", "", re.sub(r"[\W_]", "", cell.lower())) for cell in header]
    place = {key: i for i, key in reversed(list(enumerate(keys))) if i != column}
    corners = next((c for c in _CORNERS if all(k in place for k in c)), ())
    sized = not corners and {"x", "y"} <= place.keys()
    if sized:
        corners = next((("y", "x", *c) for c in (("h", "w"), ("height", "width"))
                        if all(k in place for k in c)), ())  # fmt: skip
    size = tuple(_first(place, keys_) for keys_ in _SIZES if not set(keys_) & set(corners))
    size = size if len(size) == 2 and -1 not in size else ()
    label, split = _first(place, _CLASS), _first(place, _SPLIT)
    if split >= 0 and not any(row[split].lower() in SPLITS for row in some if split < len(row)):
        split = -1
    confidence = _first(place, _CONFIDENCE)
    used = {column, split, confidence, *size, *(place[k] for k in corners)}
    rest = [i for i, key in enumerate(keys) if i not in used and key]
    others = {keys[i] for i in rest}
    points = {key[:-1] for key in others if key.endswith("x") and f"{key[:-1]}y" in others}
    points |= {key[1:] for key in others if re.fullmatch(r"x\d+", key) and f"y{key[1:]}" in others}
    if len(points) > 1 or (points and corners == _CORNERS[1]):
        return "its columns are points"
    if corners:
        label = label if label >= 0 else _first(place, ("name", "id"))
        if label < 0 and corners == _CORNERS[1]:
            return "its columns are two points without a class"
        return Columns(
            column,
            label,
            tuple(place[k] for k in corners),
            sized,
            size,
            split,
            confidence=confidence,
        )
    if label < 0 and len(rest) == 1:
        label = rest[0]
    if label >= 0:
        if keys[label] in _SENTENCES or any("." in row[label] and _is_number(row[label])
                                            for row in some if label < len(row)):  # fmt: skip
            return f"its column {header[label]!r} holds no classes"
        return Columns(column, label, split=split, confidence=confidence)
    if len(rest) < 2 or not all(flag(row[i]) is not None for row in some for i in rest if
                                i < len(row)):  # fmt: skip
        return "no column of it is called class or label, and not all others hold 0 and 1"
    return Columns(column, split=split, flags=tuple((i, header[i]) for i in rest))


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
