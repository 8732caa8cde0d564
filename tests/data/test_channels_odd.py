"""Kinds of 16-bit and many-channel files that programs write beside the plain ones."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tifffile

from convoy.data.images import bands, images
from convoy.data.images.png import SIGNATURE
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.sample import BadSample
from convoy.models.spec import Preprocess
from convoy.serving import bands as served
from tests.data.channel_files import pages, png, tiff, values


def read(data, channels, bits=16):
    """(values of the record, reasons that were told)."""
    told = []
    with wanting(Wanted(channels, bits), lambda reason, _: told.append(reason)):
        return bands.decode(images.upright(data).image), told


def gray_alpha(array):
    """A PNG of gray with transparency, by hand: rows without a filter."""
    depth = 8 * array.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", array.shape[1], len(array), depth, 4, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_with_transparency_is_of_two_channels(dtype):
    """No decoder's gray as three colours passes for channels of the picture."""
    array, bits = values(2, dtype), 8 * np.dtype(dtype).itemsize
    np.testing.assert_array_equal(read(gray_alpha(array), 2, bits)[0], array)
    np.testing.assert_array_equal(read(gray_alpha(array), 1, bits)[0], array[..., :1])
    with pytest.raises(BadSample, match="of 2 channels"):
        read(gray_alpha(array), 4, bits)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd"])
def test_compressed_gray_of_sixteen_bits(compression):
    array, file = values(1), io.BytesIO()
    PIL.Image.fromarray(array[..., 0]).save(file, "TIFF", compression=compression)
    np.testing.assert_array_equal(read(file.getvalue(), 1)[0], array)


def test_a_file_of_several_pictures_is_its_first_and_that_is_told():
    array = values(5)
    found, told = read(pages(array), 1)
    np.testing.assert_array_equal(found, array[..., :1])
    assert told == ["first_frame"]
    assert read(pages(array), 5)[1] == []
    file, frames = io.BytesIO(), [PIL.Image.new("RGB", (9, 8), color) for color in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert read(file.getvalue(), 3, 8)[1] == ["first_frame"]


def overviews(array):
    """As GDAL writes: the picture, two smaller copies of it."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(array, photometric="minisblack")
        for step in (2, 4):
            writer.write(array[::step, ::step].copy(), photometric="minisblack", subfiletype=1)
    return file.getvalue()


def test_smaller_copies_in_a_file_are_no_channels_and_no_other_pictures():
    array = values(1)
    found, told = read(overviews(array[..., 0]), 3)  # three pages, three channels wanted
    np.testing.assert_array_equal(found, array)  # gray, as it is
    assert told == []


def test_a_file_of_a_compression_that_is_missing_is_not_called_damaged():
    data = bytearray(tiff(values(5)[..., 0]))
    tag = data.index(struct.pack("<HHI", 259, 3, 1))
    data[tag + 8 : tag + 10] = struct.pack("<H", 34887)  # LERC
    with pytest.raises(BadSample) as caught:
        read(bytes(data), 1)
    assert "damaged TIFF" not in caught.value.detail


@pytest.mark.parametrize("channels", [5, 12, 100])
def test_a_record_of_other_channels_is_refused_by_what_it_states(channels):
    """Of a height that the channels divide, too; a tall PNG that states nothing is taken."""
    seen = Preprocess((9, 9), channel_order="bands", bands=channels, bits=16)
    right = values(channels, size=(12, 5))
    decoded = served.decode(tf.constant(bands.encode(right)), tf.constant(0), seen)
    np.testing.assert_allclose(decoded, right / 257, rtol=1e-6)
    tall = png(right.transpose(2, 0, 1).reshape(-1, 5, 1))
    np.testing.assert_array_equal(served.decode(tf.constant(tall), tf.constant(0), seen), decoded)
    for other in (channels - 2, channels * 10 if channels < 20 else 10):
        data = bands.encode(values(other, size=(channels, 5)))
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"no picture of {channels}"):
            served.decode(tf.constant(data), tf.constant(3), seen)


def test_a_record_of_many_channels_is_no_tall_gray_picture():
    with pytest.raises(BadSample, match=r"of 5 channels.* set data\.channels: 5"):
        images.upright(bands.encode(values(5)))
