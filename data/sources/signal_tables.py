"""Tables with one series per line, and its class: how they are written.

.ts           UEA archive: lines of @, then after @data one series per line: its channels parted by
              colons, their numbers by commas, the class last
.tsv .txt .csv
              UCR archive: the class, then the numbers; known by "train" or "test" in its name. Of
              series of several lengths the shorter ones end with NaN, which is left out;
              with a header: the class in the column label, class or target, the numbers in columns
              that are called by numbers (0, 1, ... or t0, t1, ...). Other columns, as an id, are
              no part of a series. Columns called pixel0 or 1x1 are a picture's: such a table is
              taken only where the format is said
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.signals import series
from convoy.data.sources import SourceError, layout, text_lines

_CLASS_COLUMNS = ("label", "class", "target")
_LEAST = 8  # numbers of a line that is taken for a series
_PROBE = 1 << 18
_PIXEL = re.compile(r"(?i)(pixel|pix|px)[ _.]?\d+|\d+x\d+")  # MNIST as tables
_SIDE = 8  # pixels: the least picture that a line of whole numbers may be


class Row(NamedTuple):
    line: int  # from 1
    label: str
    numbers: str  # channels parted by ":", their numbers by ","


def tables(tree: files.Tree, sure: bool = True) -> list[str]:
    """Names of the files that are such tables. Of both forms of one set (.txt and .ts) one.

    sure: a header must tell that the columns are of a series, as nobody said that they are.
    """
    found = []
    for name in tree.names:
        if "/." not in name and _ending(name) in _ENDINGS:
            if _is_table(tree, name, sure):
                found.append(name)
            else:
                tree.pass_over(name, "no table of a class and a series of numbers per line")
    by_stem = {}
    for name in sorted(found, key=lambda name: _ENDINGS.index(_ending(name)), reverse=True):
        by_stem[name.rpartition(".")[0].lower()] = name
    for name in set(found) - set(by_stem.values()):
        tree.pass_over(name, "the same series as in a file of its name with another ending")
    return sorted(by_stem.values())


_ENDINGS = ("ts", "tsv", "csv", "txt")


def rows(tree: files.Tree, name: str) -> tuple[list[Row], str]:
    """(every series of a table, its encoding). Raises SourceError for a file that is none."""
    text, encoding = text_lines.decoded(tree.read(name))
    found = list(_uea(text, name) if _ending(name) == "ts" else _cells(text))
    if not found:
        raise SourceError(f"{tree.root}: {name} holds no series")
    return found, encoding


def left_out(tree: files.Tree, name: str) -> tuple[str, ...]:
    """Names of the columns that are neither the class nor a part of the series."""
    if _ending(name) == "ts":
        return ()
    text = layout.beginning(tree, name, _PROBE).decode("utf-8-sig", "replace")
    head = next((row for row in series.cells(text) if any(c.strip() for c in row)), [])
    column = _header(head)
    if column is None:
        return ()
    used = {column, *_numbered(head, column)}
    return tuple(cell.strip() for i, cell in enumerate(head) if i not in used)


def like_pixels(row: Row) -> str:
    """What to tell where a line may be a gray picture: a square of whole numbers below 256."""
    cells = row.numbers.split(",")
    side = math.isqrt(len(cells))
    if side < _SIDE or side * side != len(cells) or ":" in row.numbers:
        return ""
    if not all(cell.isdigit() and int(cell) < 256 for cell in cells):
        return ""
    return f"taken as series of {len(cells)} numbers, not as gray pictures of {side}x{side}"


def values(numbers: str, name: str) -> np.ndarray:
    """float64 [samples, channels] of a row's numbers. Raises BadSample."""
    channels = []
    for channel in numbers.split(":"):
        try:
            channels.append([float(cell) for cell in channel.split(",")])
        except ValueError as error:
            raise BadSample("bad_signal", f"{name}: expected numbers: {error}") from None
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        detail = f"{name}: channels of {min(lengths)} to {max(lengths)} samples; expected as many"
        raise BadSample("bad_signal", detail)
    array = np.array(channels, np.float64).T
    there = np.flatnonzero(~np.isnan(array).all(axis=1))
    return array[: there[-1] + 1 if len(there) else 0]


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _is_table(tree: files.Tree, name: str, sure: bool) -> bool:
    if _ending(name) not in _ENDINGS:
        return False
    try:
        text = layout.beginning(tree, name, _PROBE).decode("utf-8-sig", "replace")
    except OSError:
        return False
    if _ending(name) == "ts":
        return "@data" in text.lower()
    table = [row for row in series.cells(text[: text.rfind("\n") + 1] or text) if row][:3]
    if not table:
        return False
    header = _header(table[0])
    if header is None and not layout.split_in(_stem(name)):
        return False
    if header is None:
        first, columns = table[0], range(1, len(table[0]))
    else:
        first, columns = table[1] if table[1:] else [], _numbered(table[0], header)
        names = [table[0][i].strip() for i in columns]
        if sure and any(_PIXEL.fullmatch(name) or not _is_numbered(name) for name in names):
            return False
    checked = [i for i in range(len(table[0])) if i != header] if header is not None else columns
    checked = checked if sure else columns  # another column may name what the numbers are of
    return len(columns) >= _LEAST and all(
        i < len(first) and series.is_number(first[i]) for i in checked
    )


def _numbered(head: Sequence[str], column: int) -> Sequence[int]:
    """The columns that are called by numbers; all but the class where there are too few."""
    others = [i for i in range(len(head)) if i != column]
    found = [i for i in others if _is_numbered(head[i].strip())]
    return found if len(found) >= _LEAST else others


def _is_numbered(name: str) -> bool:
    """pandas writes an index that it once read without a name as Unnamed: 0."""
    return name[-1:].isdigit() and not name.lower().startswith("unnamed")


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0].lower()


def _header(cells: list[str]) -> int | None:
    """The column of the class; None: the line is no header."""
    names = [cell.strip().lower() for cell in cells]
    return next((names.index(name) for name in _CLASS_COLUMNS if name in names), None)


def _cells(text: str) -> Iterator[Row]:
    column, columns = None, None
    for line, cells in enumerate(series.cells(text), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        if column is None:
            column = _header(cells)
            if column is not None:
                columns = {*_numbered(cells, column)}
                width = len(cells)
                continue
            column = 0
        label = cells[column].strip() if column < len(cells) else ""
        numbers = [
            cell.strip()
            for i, cell in enumerate(cells)
            if i != column and (columns is None or i in columns or i >= width)
        ]
        yield Row(line, _class(label), ",".join(numbers))


def _class(label: str) -> str:
    """The UCR archive's older files write classes as 1.0000000e+00."""
    whole = series.is_number(label) and float(label).is_integer()
    return str(int(float(label))) if whole else label


def _uea(text: str, name: str) -> Iterator[Row]:
    begun = False
    for line, content in enumerate(text.splitlines(), start=1):
        content = content.strip()
        words = content.lower().split()
        if words[:2] == ["@timestamps", "true"]:
            raise SourceError(f"{name}: its series have times of their own, which are not read")
        if words[:2] == ["@targetlabel", "true"]:
            raise SourceError(
                f"{name}: its series have a number to be told (@targetLabel), no class"
            )
        if words[:2] == ["@classlabel", "false"]:
            raise SourceError(f"{name}: its series have no class")
        if begun and content and content[0] not in "#@":
            numbers, _, label = content.rpartition(":")
            yield Row(line, label.strip(), numbers)
        begun = begun or words[:1] == ["@data"]
