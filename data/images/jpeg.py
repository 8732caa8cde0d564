"""The structure of a JPEG file, checked without decoding it.

Decoding costs milliseconds, walking the markers tens of microseconds, and what breaks a decoder
later (a cut end, missing or senseless tables, an unusual coding) shows in the markers. What this
walk cannot vouch for is left to a full decode in images.py.

ITU T.81, annex B: https://www.w3.org/Graphics/JPEG/itu-t81.pdf
"""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np

_ENTROPY_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not stuffing, restart or fill
_IN_ENTROPY = np.isin(np.arange(256), [0x00, *range(0xD0, 0xD8), 0xFF])  # what may follow 0xFF
_AT_ONCE = 1 << 22  # bytes that NumPy searches in one go; larger files go by the regex
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PLAIN = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; Huffman coded
_MAX_SIDE = 65500  # libjpeg's JPEG_MAX_DIMENSION
MAX_SCANS = 100  # a decoder passes over all pixels in each; real files have about ten


@dataclasses.dataclass(frozen=True)
class Structure:
    """What the markers say."""

    height: int  # pixels as stored
    width: int
    components: int  # 1 gray, 3 colour, 4 CMYK
    exif: bytes  # payload of the Exif segment with its "Exif\\0\\0", or empty
    sound: bool  # complete and of a kind that every decoder reads
    coding: str = ""  # how it is unlike what decoders read, e.g. "12-bit"; empty = as usual
    scans: int = 1


def structure(data: bytes) -> Structure | None:
    """Walks the markers of `data`. None: not a JPEG, or no frame header in it."""
    if data[:2] != b"\xff\xd8":
        return None
    frame, coded, exif, sound, tables, scans = None, 0, b"", True, frozenset(), 0
    position, size = 2, len(data)
    ends = _ends(data) if size <= _AT_ONCE else None
    while True:
        if position + 2 > size or data[position] != 0xFF:
            sound = False
            break
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xD9:
            break
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2 or position + 2 + length > size:
            sound = False
            break
        body = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker in _SOF:
            sound = sound and marker in _PLAIN and frame is None and _frame_ok(body)
            frame, coded = body, marker
        elif marker == 0xC4 or marker == 0xDB:
            defined = _huffman_tables(body) if marker == 0xC4 else _quantisation_tables(body)
            sound, tables = sound and bool(defined), tables | defined
        elif marker == 0xDD:
            sound = sound and len(body) == 2
        elif marker == 0xE1 and body[:6] == b"Exif\0\0" and not exif:
            exif = body
        elif marker == 0xDA:
            scans += 1
            sound = sound and frame is not None
            sound = sound and _scan_ok(body, frame[5:], tables, coded == 0xC2)
            end = _next(ends, position) if ends is not None else _search(data, position)
            if end is None:
                sound = False
                break
            position = end
        elif not 0xE0 <= marker <= 0xEF and marker != 0xFE:
            sound = False  # nothing that a plain file has
    if frame is None or len(frame) < 6:
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    sound = sound and 0 < scans <= MAX_SCANS
    sound = sound and 0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE
    return Structure(height, width, frame[5], exif, sound, _coding(coded, frame[0]), scans)


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that an Exif segment states; 1 where it states none that exists.

    TIFF 6.0, section 2: a directory of 12-byte entries (tag, kind, count, value).
    """
    tiff = exif[6:]
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order is None:
        return 1
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if int.from_bytes(tiff[at : at + 2], order) == 0x0112:
            width = {1: 1, 3: 2, 4: 4}.get(int.from_bytes(tiff[at + 2 : at + 4], order), 0)
            value = int.from_bytes(tiff[at + 8 : at + 8 + width], order)
            return value if 1 <= value <= 8 else 1
    return 1


def _ends(data: bytes) -> np.ndarray:
    """Sorted positions of every 0xFF that cannot lie inside of entropy-coded data."""
    values = np.frombuffer(data, np.uint8)
    markers = (values[:-1] == 0xFF).nonzero()[0]
    return markers[~_IN_ENTROPY[values[markers + 1]]]


def _next(ends: np.ndarray, position: int) -> int | None:
    at = int(ends.searchsorted(position))
    return int(ends[at]) if at < len(ends) else None


def _search(data: bytes, position: int) -> int | None:
    match = _ENTROPY_END.search(data, position)
    return match.start() if match else None


def _coding(marker: int, bits: int) -> str:
    if marker in (0xC3, 0xC7, 0xCB, 0xCF):
        return "lossless"
    if marker in (0xC5, 0xC6, 0xCD, 0xCE):
        return "hierarchical"
    return f"{bits}-bit" if bits != 8 else ""


def _frame_ok(body: bytes) -> bool:
    return body[:1] == b"\x08" and _components_ok(body[5:])


@functools.lru_cache(maxsize=64)
def _components_ok(body: bytes) -> bool:
    """Gray or three colours, every sampling factor a divisor of the largest."""
    if not body or body[0] not in (1, 3) or len(body) != 1 + 3 * body[0]:
        return False
    rows = [factors & 15 for factors in body[2::3]]
    columns = [factors >> 4 for factors in body[2::3]]
    if not all(1 <= factor <= 4 for factor in rows + columns) or len({*body[1::3]}) != body[0]:
        return False
    fits = sum(r * c for r, c in zip(rows, columns, strict=True)) <= 10  # B.2.3
    return fits and all(max(f) % factor == 0 for f in (rows, columns) for factor in f)


@functools.lru_cache(maxsize=64)  # most files hold the same tables, the standard's own
def _huffman_tables(body: bytes) -> frozenset[tuple[str, int]]:
    """("dc" or "ac", id) of each table; empty where one is not a prefix code."""
    position, tables = 0, set()
    while position < len(body):
        kind, index = body[position] >> 4, body[position] & 15
        counts = body[position + 1 : position + 17]
        values = body[position + 17 : position + 17 + sum(counts)]
        if kind > 1 or index > 3 or len(counts) != 16 or not 0 < len(values) == sum(counts) <= 256:
            return frozenset()
        if sum(count << (15 - i) for i, count in enumerate(counts)) >= 1 << 16:
            return frozenset()
        if kind == 0 and max(values) > 11:
            return frozenset()
        tables.add(("ac" if kind else "dc", index))
        position += 17 + len(values)
    return frozenset(tables)


@functools.lru_cache(maxsize=64)
def _quantisation_tables(body: bytes) -> frozenset[tuple[str, int]]:
    """("quantisation", id) of each table; empty where one is cut."""
    position, tables = 0, set()
    while position < len(body):
        wide, index = body[position] >> 4, body[position] & 15
        position += 1 + 64 * (1 + wide)
        if wide > 1 or index > 3 or position > len(body):
            return frozenset()
        tables.add(("quantisation", index))
    return frozenset(tables)


@functools.lru_cache(maxsize=256)  # an encoder writes the same scans into most of its files
def _scan_ok(body: bytes, components: bytes, tables: frozenset, progressive: bool) -> bool:
    """Components of the frame (its part from Nf on), with all tables that they need."""
    count = body[0] if body else 0
    if not 1 <= count <= 4 or len(body) != 4 + 2 * count or not _components_ok(components):
        return False
    if len({*body[1:-3:2]}) != count:  # a component twice: no decoder takes it
        return False
    quantised = dict(zip(components[1::3], components[3::3], strict=True))
    first, last, high, low = body[-3], body[-2], body[-1] >> 4, body[-1] & 15
    if not progressive and (first, last, high, low) != (0, 63, 0, 0):
        return False
    if progressive:  # G.1.1.1
        band = last == 0 if first == 0 else first <= last <= 63 and count == 1
        if not band or low > 13 or (high and low != high - 1):
            return False
    for component, chosen in zip(body[1:-3:2], body[2:-3:2], strict=True):
        if ("quantisation", quantised.get(component)) not in tables:
            return False
        if first == 0 and high == 0 and ("dc", chosen >> 4) not in tables:
            return False
        if last > 0 and ("ac", chosen & 15) not in tables:
            return False
    return True
