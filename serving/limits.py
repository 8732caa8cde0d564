"""How large a picture of a request is, by its header: before anything is decoded.

A PNG of 64 kB may hold half a billion pixels, and takes gigabytes once it is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from convoy.serving.errors import INVALID_ARGUMENT, ServingError

MOST_PIXELS = 100_000_000  # per picture, as ingest has it
PICTURES = ("image_bytes", "frames")  # inputs that hold encoded pictures
# Of JPEG: the frame headers, which say the size; and the markers without a length.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE = {0x01, *range(0xD0, 0xD9)}


def check(inputs: Mapping[str, Iterable[bytes]], most: int) -> None:
    """Raises ServingError for a picture of more than `most` pixels; 0 = any are taken."""
    for name in PICTURES if most else ():
        for index, data in enumerate(inputs.get(name, ())):
            height, width = size(data) or (0, 0)
            if height * width > most:
                raise ServingError(
                    INVALID_ARGUMENT,
                    f"picture {index} of the request has {width} x {height} pixels, more than "
                    f"{most:,}, the server's --max_pixels: send a smaller one",
                )


def size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header of a JPEG, PNG, GIF or BMP says; None: it says none."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack_from(">II", data, 16)
        elif data[:3] == b"GIF":
            width, height = struct.unpack_from("<HH", data, 6)
        elif data[:2] == b"BM":
            width, height = map(abs, struct.unpack_from("<ii", data, 18))
        elif data[:2] == b"\xff\xd8":
            return _jpeg(data)
        else:
            return None
    except struct.error:  # it breaks off before; the decoder says so
        return None
    return height, width


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Of the first frame. Raises struct.error where the file breaks off before it."""
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            return None
        (marker,) = struct.unpack_from(">B", data, at + 1)
        if marker == 0xFF:  # fills up
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _FRAMES:
            return struct.unpack_from(">HH", data, at + 5)
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + length
    return None
