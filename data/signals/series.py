"""Series of numbers in files and lines to signals: .npy and .csv files, rows of a table.

A file is one series: an array [samples] or [samples, channels], or a table with one line per moment
and one column per channel, with a header or without. A series becomes a WAV file of 32-bit floats
with a rate of 1 (data/signals/wav.py): its numbers stay as they are, to float32.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import numpy as np

from convoy.data.sample import BadSample
from convoy.data.signals import wav

Warn = Callable[[str, str], None]
NARROW = 8  # columns: no picture has fewer
_WIDEST = 64  # columns of an array that is taken for a series where nobody says so
ENDINGS = ("wav", "wave", "npy", "csv", "tsv")


def signal(data: bytes, name: str, warn: Warn = lambda reason, detail: None) -> bytes:
    """A WAV file of the content of a file called `name`, by its ending. Raises BadSample.

    warn is told (reason, detail) of what is left out.
    """
    ending = name.rpartition(".")[2].lower()
    if data[:4] == b"RIFF" or ending in ("wav", "wave"):
        wav.values(data, name)
        return data
    if ending == "npy" or data[:6] == b"\x93NUMPY":
        return encoded(_array(data, name), name)
    return encoded(_table(data, name, warn), name)


def encoded(numbers: np.ndarray, name: str) -> bytes:
    """A WAV file of [samples] or [samples, channels] numbers. Raises BadSample."""
    if numbers.ndim == 1:
        numbers = numbers[:, None]
    if numbers.ndim != 2:
        raise BadSample(
            "bad_signal",
            f"{name}: expected a series [samples] or [samples, channels], got an array of shape "
            f"{list(numbers.shape)}",
        )
    if not numbers.size:
        raise BadSample("empty_signal", f"{name}: holds no sample")
    if numbers.shape[1] > wav.MOST_CHANNELS:
        raise BadSample(
            "bad_signal",
            f"{name}: {numbers.shape[1]} channels of {numbers.shape[0]} samples; expected at most "
            f"{wav.MOST_CHANNELS}: one line per moment, one column per channel",
        )
    single = numbers.astype(np.float32)
    if not np.isfinite(single).all():
        count = int((~np.isfinite(single)).sum())
        detail = f"{name}: {count} of its {single.size} numbers are not finite in 32 bits"
        raise BadSample("bad_signal", detail)
    return wav.encode(single)


def _array(data: bytes, name: str) -> np.ndarray:
    try:
        numbers = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # NumPy raises many kinds on damaged headers
        raise BadSample("bad_signal", f"{name}: no array that NumPy reads: {error}") from None
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind not in "biuf":
        kind = getattr(numbers, "dtype", type(numbers).__name__)
        raise BadSample("bad_signal", f"{name}: expected an array of numbers, got {kind}")
    return numbers


def _table(data: bytes, name: str, warn: Warn) -> np.ndarray:
    """[lines, columns] of a table of numbers; a first line without any number is a header.

    A first column that the header does not name, and that counts the lines from 0, is an index.
    """
    rows = [row for row in cells(_text(data, name)) if any(cell.strip() for cell in row)]
    if rows and not any(map(is_number, rows[0])):
        head, *rows = rows
        unnamed = not head[0].strip() or head[0].strip().lower().startswith("unnamed")
        if unnamed and len(head) > 1 and [row[0] for row in rows] == [*map(str, range(len(rows)))]:
            rows = [row[1:] for row in rows]
            warn("index_column", f"{name}: its first column, without a name, counts the lines")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        detail = f"{name}: lines of {min(widths)} to {max(widths)} columns, not as many in each"
        raise BadSample("bad_signal", detail)
    try:
        return np.array([[float(cell) for cell in row] for row in rows], np.float64)
    except ValueError as error:
        raise BadSample("bad_signal", f"{name}: expected a table of numbers: {error}") from None


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadSample("bad_signal", f"{name}: expected a table in UTF-8") from None


def header(head: bytes) -> tuple[tuple[int, ...], np.dtype] | None:
    """(shape, type) that the beginning of an .npy file says; None: it is none of numbers."""
    try:
        file = io.BytesIO(head)
        version = np.lib.format.read_magic(file)
        of_version = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = of_version[version](file)
    except Exception:  # whatever a damaged file leads to: that is said where it is read
        return None
    return (shape, dtype) if dtype.kind in "biuf" else None


def is_series(head: bytes) -> bool:
    """Whether an .npy file is of [samples] or [samples, channels], and not of a gray picture.

    Of two dimensions and unsigned 8 or 16 bits, as pictures are, it has at most 8 columns, else 64.
    """
    if not (found := header(head)):
        return False
    shape, dtype = found
    pixels = dtype.kind == "u" and dtype.itemsize <= 2
    return len(shape) == 1 or (len(shape) == 2 and shape[1] <= (NARROW if pixels else _WIDEST))


def may_be_picture(head: bytes) -> bool:
    """Whether a series of `is_series` has as many columns as a gray picture may have."""
    found = header(head)
    return found is not None and len(found[0]) == 2 and found[0][1] > NARROW


def cells(text: str) -> list[list[str]]:
    """Rows of a table; the mark between columns is a tab, a semicolon or a comma, or blanks."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    mark = next((mark for mark in "\t;," if mark in first), None)
    if mark is None:
        return [line.split() for line in lines]
    try:
        return list(csv.reader(lines, delimiter=mark))
    except csv.Error:  # a cell too long to be a number; what it holds is said where it is read
        return [line.split(mark) for line in lines]


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
