"""Pictures of any number of channels, of 8 or 16 bits, as records keep them: always a PNG.

| channels | the PNG |
|---|---|
| 1, 3, 4 | gray, RGB, RGBA (of which the fourth is a channel like the others) |
| others | gray and tall: the channels one above the other, [C * H, W]; a text chunk right |
|   | behind the header, `Bands`, says how many |

So TensorFlow's own operations decode all of them: `models.resize.unstacked`.
https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image

from convoy.data.images.png import SIGNATURE

IN_PNG = {1: 0, 3: 2, 4: 6}  # channels -> PNG's colour type
MOST = 256  # channels of a picture
_WORD = b"Bands\0"  # keyword of the text chunk
_AT = len(SIGNATURE) + 25  # where the chunk behind the header begins
_LEVEL = 3


def encode(pixels: np.ndarray) -> bytes:
    """[H, W, C] uint8 or uint16 -> PNG."""
    height, width, channels = pixels.shape
    told = b""
    if channels not in IN_PNG:
        told = _chunk(b"tEXt", _WORD + str(channels).encode())
        pixels = pixels.transpose(2, 0, 1).reshape(channels * height, width, 1)
    color, depth = IN_PNG[pixels.shape[2]], 8 * pixels.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, pixels.shape[0], depth, color, 0, 0, 0)
    data = _chunk(b"IDAT", zlib.compress(_filtered(pixels), _LEVEL))
    return SIGNATURE + _chunk(b"IHDR", header) + told + data + _chunk(b"IEND", b"")


def _filtered(pixels: np.ndarray) -> bytes:
    """Rows of PNG, each value as its difference from that at its left (filter type 1)."""
    step = pixels.shape[2] * pixels.dtype.itemsize
    values = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">")))
    rows = values.view(np.uint8).reshape(len(pixels), -1)
    filtered = np.ones((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 1 : 1 + step] = rows[:, :step]
    filtered[:, 1 + step :] = rows[:, step:] - rows[:, :-step]
    return filtered.tobytes()


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def stacked(encoded: bytes) -> int:
    """How many channels lie one above the other in a PNG of `encode`; 0 in any other picture."""
    length = int.from_bytes(encoded[_AT : _AT + 4], "big")
    body = encoded[_AT + 8 : _AT + 8 + min(length, 16)]
    if encoded[: len(SIGNATURE)] != SIGNATURE or encoded[_AT + 4 : _AT + 8] != b"tEXt":
        return 0
    number = body.removeprefix(_WORD) if body.startswith(_WORD) else b""
    return int(number) if number.isdigit() and 0 < int(number) <= MOST else 0


def decode(encoded: bytes) -> np.ndarray:
    """[H, W, C] uint8 or uint16 of a record's picture, a JPEG or a PNG."""
    count = stacked(encoded)
    if not count and encoded[24:25] != b"\x10":
        with PIL.Image.open(io.BytesIO(encoded)) as picture:
            pixels = np.asarray(picture)
        return pixels.reshape(*pixels.shape[:2], -1)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not a PNG that can be decoded")
    if count:
        return pixels.reshape(count, -1, pixels.shape[1]).transpose(1, 2, 0)
    if pixels.ndim == 2:
        return pixels[..., None]
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # from BGR


def values(encoded: bytes, channels: int, bits: int) -> np.ndarray:
    """[H, W, channels] uint8, or uint16 of 16 bits: what training decodes, where it is no mixture.

    A gray picture where three channels are wanted has its value in each, a colour picture where one
    is wanted its luminance (PIL's). Of 16 bits, a picture of 8 has its values times 257.
    """
    pixels = decode(encoded)
    if pixels.shape[2] == 1 and channels == 3:
        pixels = np.repeat(pixels, 3, 2)
    elif pixels.shape[2] == 3 and channels == 1:
        gray = pixels.astype(np.float64) @ (0.299, 0.587, 0.114)
        pixels = np.rint(gray)[..., None].astype(pixels.dtype)
    if bits == 16 and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return (pixels >> 8).astype(np.uint8) if bits == 8 and pixels.dtype != np.uint8 else pixels


def view(encoded: bytes) -> PIL.Image.Image:
    """For people: 8-bit RGB or gray of any picture of a record.

    Three channels are colours; of other numbers the mean is shown. 16 bits, and what is a mean, are
    stretched: their least value is black, their largest white.
    """
    if not stacked(encoded) and encoded[24:26] not in (b"\x10\0", b"\x10\2", b"\x10\6", b"\x08\6"):
        with PIL.Image.open(io.BytesIO(encoded)) as picture:
            return picture.convert("L" if picture.mode == "L" else "RGB")
    pixels = decode(encoded)
    seen = pixels if pixels.shape[2] == 3 else pixels.mean(2)
    low, high = float(seen.min()), float(seen.max())
    seen = (seen.astype(np.float32) - low) * (255 / max(high - low, 1))
    return PIL.Image.fromarray(np.rint(seen).astype(np.uint8))
