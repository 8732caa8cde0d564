"""The structure of a PNG file, checked down to its compressed data, without making pixels of it.

PIL forgives what libpng, and so TensorFlow, does not: a missing end, wrong checksums, chunks out of
order. Here everything must be as the standard says. https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_SIDE = 1_000_000  # libpng's PNG_USER_WIDTH_MAX
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of the colour types without a palette
_KEPT = (0, 2)  # gray and RGB: the colour types that are kept where nobody asks for more
_PASSES = (  # Adam7: first row, first column, step down, step right
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
_AT_ONCE = 1 << 15  # compressed bytes, which are at most 33 MB unpacked
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"tIME": 7}
_MAX_TEXT = 1 << 20  # unpacked; more is a bomb
# Of other parts of a picture than pixels: a palette, transparency, animation.
_NOT_PLAIN = {b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT"}


@dataclasses.dataclass(frozen=True)
class Structure:
    """What the chunks say."""

    height: int  # pixels as stored
    width: int
    plain: bool  # 8-bit gray or RGB, one frame, nothing that needs a forgiving decoder
    exif: bytes  # payload of the eXIf chunk, or empty
    data: tuple[memoryview, ...]  # of the IDAT chunks
    interlaced: bool
    channels: int
    depth: int  # bits per value
    sound: bool  # as `plain`, but of any colour type without a palette, and also of 16 bits


def structure(data: bytes) -> Structure | None:
    """Walks the chunks and verifies their checksums. None: not a PNG, or no header in it."""
    if data[:8] != SIGNATURE or data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        return None
    view, position, names, plain = memoryview(data), 8, [], True
    exif, packed = b"", []
    while plain and names[-1:] != [b"IEND"]:
        if position + 12 > len(data):
            plain = False
            break
        (length,), name = (
            struct.unpack_from(">I", data, position),
            data[position + 4 : position + 8],
        )
        end = position + 8 + length
        body = view[position + 8 : end]
        checksum = data[end : end + 4]
        plain = checksum == zlib.crc32(view[position + 4 : end]).to_bytes(4, "big")
        plain = plain and _chunk_ok(name, body, names)
        if name == b"IDAT":
            packed.append(body)
        elif name == b"eXIf" and not exif:
            exif = bytes(body)
        names.append(name)
        position = end + 4
    width, height, depth, color, method, filtering, interlace = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    sound = plain and (method, filtering) == (0, 0) and color in _CHANNELS and depth in (8, 16)
    sound = sound and interlace < 2 and bool(packed) and min(width, height) > 0
    sound = sound and max(width, height) <= _MAX_SIDE
    plain = sound and depth == 8 and color in _KEPT
    channels = _CHANNELS.get(color, 0)
    return Structure(
        height, width, plain, exif, tuple(packed), interlace == 1, channels, depth, sound
    )


def pixels_ok(png: Structure) -> bool:
    """Whether the data unpack to exactly the rows that the header states."""
    rows = _rows(png)
    left, stride = next(rows)
    unpack = zlib.decompressobj()
    try:
        for piece in _unpacked(unpack, png.data):
            at = 0
            while at < len(piece):
                if left == 0:
                    return False  # more data than pixels
                take = min(left, len(piece) - at)
                kinds = piece[at + left % stride : at + take : stride]  # a row's first byte
                if kinds and max(kinds) > 4:
                    return False
                at, left = at + take, left - take
                if left == 0:
                    left, stride = next(rows, (0, 1))
    except zlib.error:
        return False
    return left == 0 and unpack.eof and not unpack.unused_data


def _chunk_ok(name: bytes, body: memoryview, before: list[bytes]) -> bool:
    if not before:
        return name == b"IHDR" and len(body) == 13
    if name == b"IDAT":
        return before[-1] == b"IDAT" or b"IDAT" not in before
    if name == b"IEND":
        return len(body) == 0
    if name[:1] < b"a" or not name.isalpha() or name in _NOT_PLAIN:
        return False  # an unknown part that cannot be left out, or a second header
    if len(body) != _LENGTHS.get(name, len(body)):
        return False
    keyword = b"Raw profile type exif"  # ImageMagick's, which PIL understands
    if name in (b"zTXt", b"iTXt", b"iCCP"):
        return bytes(body[: len(keyword)]) != keyword and _text_ok(name, bytes(body))
    return bytes(body[: len(keyword)]) != keyword


def _text_ok(name: bytes, body: bytes) -> bool:
    """Whether a text or colour profile unpacks, to no more than a megabyte."""
    _, separator, rest = body.partition(b"\0")
    if not separator or len(rest) < 2:
        return False
    if name == b"iTXt":
        if rest[0] == 0:
            return True
        rest = b"\0" + rest[2:].split(b"\0", 2)[-1]
    unpack = zlib.decompressobj()
    try:
        return len(unpack.decompress(rest[1:], _MAX_TEXT)) < _MAX_TEXT and unpack.eof
    except zlib.error:
        return False


def _rows(png: Structure) -> Iterator[tuple[int, int]]:
    """(bytes, bytes per row) of each pass that has any; a row begins with its filter's kind."""
    for top, first, down, right in _PASSES if png.interlaced else ((0, 0, 1, 1),):
        height, width = -(-(png.height - top) // down), -(-(png.width - first) // right)
        if height > 0 and width > 0:
            stride = 1 + width * png.channels * (png.depth // 8)
            yield height * stride, stride


def _unpacked(unpack, chunks: tuple[memoryview, ...]) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), _AT_ONCE):
            if unpack.eof:
                raise zlib.error("data after the end")
            yield unpack.decompress(chunk[at : at + _AT_ONCE])
