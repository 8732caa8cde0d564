"""Masks as PNGs of the picture's size, at the cost of the object's box alone.

A mask is mostly zeros, and compressing them is most of the work. Compressed blocks of zeros are
made once for each power of two and put together: deflate's blocks may follow each other, and the
Adler-32 of zeros is a formula. RFC 1950 and 1951; https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import functools
import struct
import zlib

import numpy as np

from convoy.data.images.png import SIGNATURE
from convoy.data.masks import Mask

_ADLER = 65521
_LEVEL = 3


def encode(mask: Mask, height: int, width: int) -> bytes:
    """8-bit gray PNG [height, width], 255 where the mask is not 0."""
    rows, columns = mask.values.shape
    before = mask.top * (width + 1)
    inside = np.zeros((rows, width + 1), np.uint8)  # a filter type, 0, begins each row
    inside[:, 1 + mask.left : 1 + mask.left + columns] = (mask.values != 0) * np.uint8(255)
    after = (height - mask.top - rows) * (width + 1)
    checksum = _adler_of_zeros(zlib.adler32(inside.data, _adler_of_zeros(1, before)), after)
    blocks = [b"\x78\x5e", *_zeros(before), _deflated(inside.data), *_zeros(after)]
    data = b"".join([*blocks, b"\x03\x00", struct.pack(">I", checksum)])  # an empty last block
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def _deflated(data) -> bytes:
    """Whole bytes of blocks, none of them the last."""
    packer = zlib.compressobj(_LEVEL, wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


@functools.lru_cache(maxsize=40)
def _block(bit: int) -> bytes:
    """2 ** bit zeros."""
    return _deflated(bytes(1 << bit))


def _zeros(count: int) -> list[bytes]:
    return [_block(bit) for bit in range(count.bit_length()) if count >> bit & 1]


def _adler_of_zeros(start: int, count: int) -> int:
    """Adler-32 of what has the checksum `start`, followed by so many zeros."""
    low, high = start & 0xFFFF, start >> 16
    return ((high + count * low) % _ADLER) << 16 | low


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
