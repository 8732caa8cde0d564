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
    frame, exif, sound, tables, scans = None, b"", True, set(), 0
    position, size = 2, len(data)
    while True:
        if position + 4 > size or data[position] != 0xFF:
            sound = sound and data[position : position + 2] == b"\xff\xd9" and scans > 0
            break
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xD9:
            sound = sound and scans > 0
            break
        length = data[position + 2] << 8 | data[position + 3]
        body = data[position + 4 : position + 2 + length]
        if length < 2 or len(body) != length - 2:
            sound = False
            break
        position += 2 + length
        if marker in _SOF:
            sound = sound and marker in _PLAIN and frame is None and _frame_ok(body)
            frame = body
        elif marker == 0xC4:
            sound = sound and _huffman_ok(body)
            tables.add("huffman")
        elif marker == 0xDB:
            tables.add("quantisation")
        elif marker == 0xE1 and body[:6] == b"Exif\0\0" and not exif:
            exif = body
        elif marker == 0xDA:
            scans += 1
            sound = sound and frame is not None and len(tables) == 2
            end = _ENTROPY_END.search(data, position)
            if end is None:
                sound = False
                break
            position = end.start()
    if frame is None or len(frame) < 6:
        return None
    height, width = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4]
    return Structure(height, width, frame[5], exif, sound and height > 0 and width > 0)


def _frame_ok(body: bytes) -> bool:
    """8 bits, gray or three colours, every sampling factor a divisor of the largest."""
    if len(body) < 6 or body[0] != 8 or body[5] not in (1, 3) or len(body) != 6 + 3 * body[5]:
        return False
    rows = [body[7 + 3 * i] & 15 for i in range(body[5])]
    columns = [body[7 + 3 * i] >> 4 for i in range(body[5])]
    return all(
        1 <= factor <= 4 and max(factors) % factor == 0
        for factors in (rows, columns)
        for factor in factors
    )


@functools.lru_cache(maxsize=64)  # most files hold the same tables, the standard's own
def _huffman_ok(body: bytes) -> bool:
    """Each table: as many values as its counts say, and no more codes than its lengths allow."""
    position = 0
    while position < len(body):
        counts = body[position + 1 : position + 17]
        if len(counts) != 16 or position + 17 + sum(counts) > len(body):
            return False
        if sum(count << (15 - i) for i, count in enumerate(counts)) > 1 << 16:
            return False
        position += 17 + sum(counts)
    return True
