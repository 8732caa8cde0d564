"""What a request may hold and take; 0 = any. How large a picture is, by its header.

A PNG of 64 kB may hold half a billion pixels, and takes gigabytes once it is decoded: its size is
looked at before.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence

from convoy.serving.errors import INVALID_ARGUMENT, ServingError

PICTURES = ("image_bytes", "frames")  # inputs that hold encoded pictures
# Of JPEG: the frame headers, which say the size; and the markers without a length.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE = {0x01, *range(0xD0, 0xD9)}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one server. Each has its flag of `convoy serve`."""

    pixels: int = 100_000_000  # per picture, as ingest has it
    pictures: int = 1_000  # per request
    request_bytes: int = 256 << 20  # as sent, and once unpacked
    seconds: float = 30.0  # per request by REST, as TensorFlow Serving; gRPC's callers say theirs
    connections: int = 1_000  # by REST; calls at once by gRPC


def check(inputs: Mapping[str, Sequence[bytes]], limits: Limits) -> None:
    """Raises ServingError for too many pictures, and for one of too many pixels."""
    for name in PICTURES:
        pictures = inputs.get(name, ())
        if limits.pictures and len(pictures) > limits.pictures:
            raise ServingError(
                INVALID_ARGUMENT,
                f"the request has {len(pictures):,} pictures, more than {limits.pictures:,}, the "
                "server's --max_pictures: send several requests",
            )
        for index, data in enumerate(pictures if limits.pixels else ()):
            height, width = size(data) or (0, 0)
            if height * width > limits.pixels:
                raise ServingError(
                    INVALID_ARGUMENT,
                    f"picture {index} of the request has {width} x {height} pixels, more than "
                    f"{limits.pixels:,}, the server's --max_pixels: send a smaller one",
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
