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

_ENTROPY_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not stuffing, restart or fill
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PLAIN = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; Huffman coded


@dataclasses.dataclass(frozen=True)
class Structure:
    """What the markers say."""

    height: int  # pixels as stored
    width: int
    components: int  # 1 gray, 3 colour, 4 CMYK
    exif: bytes  # payload of the Exif segment with its "Exif\\0\\0", or empty
    sound: bool  # complete and of a kind that every decoder reads


def structure(data: bytes) -> Structure | None:
    """Walks the markers of `data`. None: not a JPEG, or no frame header in it."""
    if data[:2] != b"\xff\xd8":
        return None
    frame, progressive, exif, sound, tables, scans = None, False, b"", True, set(), 0
    position, size = 2, len(data)
    while True:
        if data[position : position + 1] != b"\xff" or position + 2 > size:
            sound = False
            break
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xD9:
            break
        body = data[position + 4 : position + 2 + int.from_bytes(data[position + 2 : position + 4])]
        position += 4 + len(body)
        if len(body) + 2 != int.from_bytes(data[position - len(body) - 2 : position - len(body)]):
            sound = False
            break
        if marker in _SOF:
            sound = sound and marker in _PLAIN and frame is None and _frame_ok(body)
            frame, progressive = body, marker == 0xC2
        elif marker == 0xC4:
            found = _huffman_tables(body)
            sound, tables = sound and bool(found), tables | found
        elif marker == 0xDB:
            found = _quantisation_tables(body)
            sound, tables = sound and bool(found), tables | found
        elif marker == 0xDD:
            sound = sound and len(body) == 2
        elif marker == 0xE1 and body[:6] == b"Exif\0\0" and not exif:
            exif = body
        elif marker == 0xDA:
            scans += 1
            sound = sound and frame is not None and _scan_ok(body, frame, tables, progressive)
            end = _ENTROPY_END.search(data, position)
            if end is None:
                sound = False
                break
            position = end.start()
        elif not 0xE0 <= marker <= 0xEF and marker != 0xFE:
            sound = False  # nothing that a plain file has
    if frame is None or len(frame) < 6:
        return None
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    sound = sound and scans > 0 and height > 0 and width > 0
    return Structure(height, width, frame[5], exif, sound)


def _frame_ok(body: bytes) -> bool:
    """8 bits, gray or three colours, every sampling factor a divisor of the largest."""
    if len(body) < 6 or body[0] != 8 or body[5] not in (1, 3) or len(body) != 6 + 3 * body[5]:
        return False
    rows = [factors & 15 for factors in body[7::3]]
    columns = [factors >> 4 for factors in body[7::3]]
    if not all(1 <= factor <= 4 for factor in rows + columns) or len({*body[6::3]}) != body[5]:
        return False
    fits = sum(r * c for r, c in zip(rows, columns, strict=True)) <= 10  # B.2.3
    return fits and all(max(f) % factor == 0 for f in (rows, columns) for factor in f)


@functools.lru_cache(maxsize=64)  # most files hold the same tables, the standard's own
def _huffman_tables(body: bytes) -> frozenset[tuple[str, int]]:
    """("dc" or "ac", id) of each table; empty where one is not a prefix code."""
    position, found = 0, set()
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
        found.add(("ac" if kind else "dc", index))
        position += 17 + len(values)
    return frozenset(found)


@functools.lru_cache(maxsize=64)
def _quantisation_tables(body: bytes) -> frozenset[tuple[str, int]]:
    """("quantisation", id) of each table; empty where one is cut."""
    position, found = 0, set()
    while position < len(body):
        wide, index = body[position] >> 4, body[position] & 15
        position += 1 + 64 * (1 + wide)
        if wide > 1 or index > 3 or position > len(body):
            return frozenset()
        found.add(("quantisation", index))
    return frozenset(found)


def _scan_ok(body: bytes, frame: bytes, tables: set[tuple[str, int]], progressive: bool) -> bool:
    """Components of the frame, with all tables that they need."""
    count = body[0] if body else 0
    if not 1 <= count <= 4 or len(body) != 4 + 2 * count or not _frame_ok(frame):
        return False
    quantised = dict(zip(frame[6::3], frame[8::3], strict=True))
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
