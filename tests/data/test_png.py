"""PNG down to its chunks: kept only if every decoder reads it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from convoy.data.images import images, png
from convoy.data.sample import BadSample
from tests.data.test_image_kinds import GRAY, pixels


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def make_png(width, height, bits, color, rows, chunks=(), *, interlace=0, packed=None, end=True):
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    data = png.SIGNATURE + chunk(b"IHDR", header) + b"".join(chunk(*c) for c in chunks)
    data += chunk(b"IDAT", zlib.compress(rows) if packed is None else packed)
    return data + (chunk(b"IEND", b"") if end else b"")


ROWS = b"".join(b"\0" + row.tobytes() for row in GRAY)


# First row, first column, step down, step right.
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
PASSES += [(1, 0, 2, 1)]


def adam7(values):
    parts = []
    for top, left, down, right in PASSES:
        part = values[top::down, left::right]
        parts += [b"\0" + row.tobytes() for row in part if part.size]
    return b"".join(parts)


@pytest.mark.parametrize(
    "data",
    [
        make_png(7, 5, 8, 0, ROWS),
        make_png(7, 5, 8, 0, adam7(GRAY), interlace=1),
        make_png(1, 1, 8, 0, adam7(GRAY[:1, :1]), interlace=1),
        make_png(
            7, 5, 8, 0, ROWS, [(b"tEXt", b"Title\0x"), (b"zTXt", b"k\0\0" + zlib.compress(b"v"))]
        ),
        make_png(7, 5, 8, 0, ROWS) + b"what came after",
    ],
)
def test_a_sound_png_is_kept(data):
    assert images.upright(data).image == data
    found = pixels(data)
    np.testing.assert_array_equal(found, GRAY[: found.shape[0], : found.shape[1]])


BOMB = b"k\0\0" + zlib.compress(b"\0" * 3_000_000)
LOOSE = [
    make_png(7, 5, 8, 0, ROWS, end=False),
    make_png(7, 5, 8, 0, ROWS + b"\0"),  # more data than pixels
    make_png(7, 5, 8, 0, ROWS, packed=zlib.compress(ROWS)[:-1] + b"\0"),  # checksum of the pixels
    make_png(7, 5, 8, 0, ROWS, [(b"ABCD", b"")]),  # an unknown part that cannot be left out
    make_png(7, 5, 8, 0, ROWS, [(b"gAMA", b"1")]),
    make_png(7, 5, 8, 0, ROWS, [(b"zTXt", BOMB)]),
    make_png(7, 5, 8, 0, b"\x09" + ROWS[1:]),  # a filter that does not exist
    make_png(7, 5, 8, 0, ROWS[:-3]),
    make_png(7, 5, 8, 0, ROWS)[:60],
    make_png(0, 5, 8, 0, b""),
    make_png(7, 5, 8, 0, ROWS)[:8],
    make_png(2_000_000, 1, 8, 0, b"\0" * 2_000_001),  # wider than libpng reads
]


@pytest.mark.parametrize("data", LOOSE)
def test_a_loose_png_is_written_anew_or_rejected(data):
    try:
        picture = images.upright(data)
    except BadSample as error:
        assert error.reason in ("corrupt_image", "too_large")  # noqa: PT017
        return
    assert picture.image != data
    np.testing.assert_array_equal(pixels(data), GRAY)


def test_damaged_pngs_with_right_checksums_decode_in_tensorflow_or_are_rejected():
    rng = np.random.default_rng(0)
    kept = 0
    for trial in range(400):
        rows = bytearray(ROWS)
        rows[rng.integers(len(rows))] = rng.integers(256)
        packed = bytearray(zlib.compress(bytes(rows), int(rng.integers(10))))
        if trial % 2:
            packed[rng.integers(len(packed))] = rng.integers(256)
        names = [b"tEXt", b"gAMA", b"tRNS", b"PLTE", b"iCCP", b"acTL", b"sPLT", b"IDAT", b"bKGD"]
        extra = [(names[rng.integers(len(names))], rng.bytes(rng.integers(20)))] * (trial % 3)
        data = make_png(7, 5, 8, 0, rows, extra, packed=bytes(packed), end=trial % 7 > 0)
        try:
            picture = images.upright(data)
        except BadSample:
            continue
        kept += 1
        assert tf.io.decode_image(picture.image).shape == (5, 7, len(pixels(data).shape) * 2 - 3)
    assert kept > 100


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("color", [0, 3])
def test_png_of_few_bits(color, bits):
    """Two pixels, the highest value and 0; gray is scaled, a palette is looked up."""
    top = 2**bits - 1
    row = bytes([0, top << (8 - bits)]) if bits < 8 else bytes([0, top, 0])
    palette = bytes(range(3)) + bytes([9]) * 3 * (top - 1) + bytes([7, 8, 9])
    chunks = [(b"PLTE", palette)] if color else []
    data = make_png(2, 1, bits, color, row, chunks)
    assert pixels(data).tolist() == ([[[7, 8, 9], [0, 1, 2]]] if color else [[255, 0]])
