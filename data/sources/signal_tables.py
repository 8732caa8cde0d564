"""Tables with one series per line, and its class: how they are written.

.ts           UEA archive: lines of @, then after @data one series per line: its channels parted by
              colons, their numbers by commas, the class last
.tsv .txt .csv
              UCR archive: the class, then the numbers; known by "train" or "test" in its name. Of
              series of several lengths the shorter ones end with NaN, which is left out;
              with a header: the class in the column label, class or target
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.signals import series
from convoy.data.sources import SourceError, layout

_CLASS_COLUMNS = ("label", "class", "target")
_LEAST = 8  # numbers of a line that is taken for a series
_PROBE = 1 << 18


class Row(NamedTuple):
    line: int  # from 1
    label: str
    numbers: str  # channels parted by ":", their numbers by ","


def tables(tree: files.Tree) -> list[str]:
    """Names of the files that are such tables. Of both forms of one set (.txt and .ts) one."""
    found = [name for name in tree.names if "/." not in name and _is_table(tree, name)]
    by_stem = {}
    for name in sorted(found, key=lambda name: _ENDINGS.index(_ending(name)), reverse=True):
        by_stem[name.rpartition(".")[0].lower()] = name
    for name in set(found) - set(by_stem.values()):
        tree.pass_over(name, "the same series as in a file of its name with another ending")
    return sorted(by_stem.values())


_ENDINGS = ("ts", "tsv", "csv", "txt")


def rows(tree: files.Tree, name: str) -> list[Row]:
    """Every series of a table. Raises SourceError for a file that is no such table."""
    text = tree.read(name).decode("utf-8-sig", "replace")
    found = list(_uea(text, name) if _ending(name) == "ts" else _cells(text))
    if not found:
        raise SourceError(f"{tree.root}: {name} holds no series")
    return found


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


def _is_table(tree: files.Tree, name: str) -> bool:
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
    first = table[1:2] if header is not None else table[:1]
    return any(
        len(row) > _LEAST
        and all(series.is_number(cell) for i, cell in enumerate(row) if i != (header or 0))
        for row in first
    )


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0].lower()


def _header(cells: list[str]) -> int | None:
    """The column of the class; None: the line is no header."""
    names = [cell.strip().lower() for cell in cells]
    return next((names.index(name) for name in _CLASS_COLUMNS if name in names), None)


def _cells(text: str) -> Iterator[Row]:
    column = None
    for line, cells in enumerate(series.cells(text), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        if column is None:
            column = _header(cells)
            if column is not None:
                continue
            column = 0
        label = cells[column].strip() if column < len(cells) else ""
        numbers = [cell.strip() for i, cell in enumerate(cells) if i != column]
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
        if words[:2] == ["@classlabel", "false"]:
            raise SourceError(f"{name}: its series have no class")
        if begun and content and content[0] not in "#@":
            numbers, _, label = content.rpartition(":")
            yield Row(line, label.strip(), numbers)
        begun = begun or words[:1] == ["@data"]
